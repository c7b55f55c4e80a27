"""Shared helpers: running the command line in this process, and boards with a changed figure."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from codesign.boards import Board, load_board
from codesign.outputs import PROJECT, claim

# As many test processes as cores run side by side: one thread each, or they wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Time is never a test: no deadlines. CI draws the same examples every time; elsewhere each run draws new ones.
hypothesis.settings.register_profile("developer", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "developer")


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code and what it printed."""

    code: int
    out: str
    err: str


@pytest.fixture
def codesign(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run ``codesign`` with arguments."""
    from codesign.cli import main

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["codesign", *map(str, arguments)])
        capsys.readouterr()  # what the test's own preparations printed is not the command's
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        code = caught.value.code
        assert isinstance(code, int)
        return Outcome(code, captured.out, captured.err)

    return run


def changed(board: str, **updates: object) -> Board:
    """A board with some figures replaced: ``changed("zcu104", device__dsp=100)``."""
    result = load_board(board)
    for path, value in updates.items():
        section, field = path.split("__")
        part = getattr(result, section)
        if section == "memories":
            memory = part[0].model_copy(update={field: value})
            result = result.model_copy(update={"memories": [memory, *part[1:]]})
        else:
            result = result.model_copy(update={section: part.model_copy(update={field: value})})
    return result


def write_project(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a generated project, as ``gen-hls`` does."""
    with claim(folder, PROJECT) as output:
        output.write_files(files)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def pruned(codesign: Callable[..., Outcome], runs: Path) -> Callable[[str], Path]:
    """A finished run of a family, made once."""
    from tests.pruning import tiny

    def make(family: str) -> Path:
        folder = runs / f"run-{family}"
        if not folder.is_dir():
            told = codesign(*tiny.arguments(tiny.make(family, runs), folder))
            assert told.code == 0, told.err
        return folder

    return make


@pytest.fixture
def quantised(codesign: Callable[..., Outcome], pruned: Callable[[str], Path], runs: Path) -> Callable[[str], Path]:
    """A design folder of a family, made once."""

    def make(family: str) -> Path:
        folder = runs / f"design-{family}"
        if not folder.is_dir():
            told = codesign("quantize", pruned(family), "-o", folder, "--calibration", 64)
            assert told.code == 0, told.err
        return folder

    return make


@pytest.fixture(scope="session")
def simulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where simulators are built: once for all tests of a process."""
    folder = tmp_path_factory.mktemp("simulators")
    yield folder
    # Hundreds of random designs are built side by side: each may leave 8 MB, but not the 160 that compiling needs.
    sizes = {path.name: sum(file.stat().st_size for file in path.rglob("*")) for path in folder.iterdir()}
    assert {name: size for name, size in sizes.items() if size > 30e6} == {}
