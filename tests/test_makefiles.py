"""What the Makefiles make and when, with a ``codesign`` that only notes what it is asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODESIGN = """#!/bin/sh
for word; do printf '%s | ' "$word"; done >> "$(dirname "$0")/asked"
echo >> "$(dirname "$0")/asked"
case "$1" in
plan) mkdir -p build/demo/plan && touch build/demo/plan/plan.png ;;
prune) mkdir -p build/demo/prune/design && touch build/demo/prune/design/design.yaml ;;
esac
"""


@pytest.fixture
def project(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A checkout with nothing made, installed an hour ago; in a folder of its own where the test asks for one."""
    tmp_path = tmp_path / getattr(request, "param", "")
    tmp_path.mkdir(exist_ok=True)
    if shutil.which("make") is None:
        pytest.skip("no make")
    for name in ("Makefile", "sim/Makefile", "pyproject.toml", "constraints.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("boards/zcu104.yaml", "codesign/packing/words.py", "codesign/simulation/engine.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / ".installed").touch()
    program = tmp_path / ".venv" / "bin" / "codesign"
    program.write_text(CODESIGN)
    program.chmod(0o755)
    for number, path in enumerate(sorted(tmp_path.rglob("*"))):
        # The stamp, whose name begins with a dot in .venv, is the newest.
        age = 7200 - number if ".installed" not in path.name else 3600
        os.utime(path, times=(time.time() - age,) * 2)
    return tmp_path


def asked(project: Path, *arguments: str) -> list[str]:
    """The commands of codesign that ``make -C sim`` runs."""
    return [words.split(" | ")[0] for words in told(project, *arguments)]


def told(project: Path, *arguments: str) -> list[str]:
    """The same with all of their arguments, " | " between."""
    log = project / ".venv" / "bin" / "asked"
    log.unlink(missing_ok=True)
    # Not what this test itself may have been started by.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    made = subprocess.run(
        ["make", "-C", str(project / "sim"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return log.read_text().splitlines()


def test_the_default_design_is_made_where_it_is_missing_or_stale(project: Path) -> None:
    assert asked(project) == ["plan", "prune", "simulate"]
    assert asked(project) == ["simulate"]
    assert asked(project) == ["simulate"]
    # What makes a design has changed: it may be of another format now.
    later = time.time() + 10
    os.utime(project / "codesign" / "packing" / "words.py", times=(later, later))
    assert asked(project)[:2] == ["plan", "prune"]


def test_simulation_itself_makes_no_design(project: Path) -> None:
    asked(project)
    later = time.time() + 10
    os.utime(project / "codesign" / "simulation" / "engine.py", times=(later, later))
    assert asked(project) == ["simulate"]


def test_a_given_design_is_never_made(project: Path, tmp_path: Path) -> None:
    assert asked(project, f"DESIGN={tmp_path / 'other'}") == ["simulate"]
    assert asked(project, "DESIGN=../build/demo/prune/design") == ["simulate"]


@pytest.mark.parametrize("project", ["plain", "sp ace's  (x)"], indirect=True)
def test_paths_with_spaces(project: Path) -> None:
    """Of the checkout, the design, the work folder and the board."""
    assert asked(project) == ["plan", "prune", "simulate"]
    design = project / "a  design's"
    design.mkdir()
    board = project / "my board.yaml"
    board.touch()
    work = project / "work here"
    (words,) = told(project, f"DESIGN={design}", f"BOARD={board}", f"WORK={work}", "WAVES=1")
    assert words == f"simulate | {design} | --work-dir | {work} | --board | {board} | --waves | "
    # Relative: from sim, or else from the project's folder, where most commands are typed.
    (words,) = told(project, "DESIGN=../a  design's")
    assert words == f"simulate | ../a  design's | --work-dir | {project}/build/sim | "
    (words,) = told(project, "DESIGN=a  design's", "BOARD=my board.yaml")
    assert words == (
        f"simulate | {project}/a  design's | --work-dir | {project}/build/sim | --board | {project}/my board.yaml | "
    )
    (words,) = told(project, f"DESIGN={design}", "BOARD=zcu104")
    assert words == f"simulate | {design} | --work-dir | {project}/build/sim | --board | zcu104 | "
