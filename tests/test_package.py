"""The wheel: built, installed in a fresh environment, run from another folder. And what the README shows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``codesign`` of a fresh environment that has the wheel, and no sight of the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    environment = folder / "env"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", str(wheel)],
        check=True,
        capture_output=True,
    )
    # The dependencies come from this environment: its path is enough, and what else it has installed for
    # development (the checkout itself) is not followed from there.
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return environment / "bin" / "codesign"


def test_an_installed_copy_works_from_any_folder(installed: Path, tmp_path: Path) -> None:
    boards = subprocess.run([installed, "boards"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "xczu7ev-ffvc1156-2-e" in boards.stdout
    arguments = ["plan", "--board", "zcu104", "--shape", "hidden=64,layers=1,ffn=128,heads=2"]
    subprocess.run([installed, *arguments], cwd=tmp_path, capture_output=True, check=True)
    assert json.loads((tmp_path / "build" / "plan" / "plan.json").read_text())["board"] == "zcu104"


def test_the_wheel_carries_boards_and_templates(installed: Path, tmp_path: Path) -> None:
    script = "from codesign.shipped import data_folder as f; print(f('boards')); print(f('hls_templates'))"
    python = installed.with_name("python")
    shown = subprocess.run([python, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    for line, name in zip(shown.stdout.split(), ("boards", "hls_templates"), strict=True):
        assert ROOT not in Path(line).parents
        carried = {p.relative_to(line): p.read_bytes() for p in Path(line).rglob("*") if p.is_file()}
        here = {p.relative_to(ROOT / name): p.read_bytes() for p in (ROOT / name).rglob("*") if p.is_file()}
        assert carried == here
        assert carried


def test_what_the_readme_shows_in_python_runs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, prune, quantize, simulate, generate = re.findall(
        r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S
    )
    monkeypatch.chdir(tmp_path)
    exec(compile(plan, "README.md", "exec"), {})
    assert re.match(r"\d+×\d+×\d+ \d+ Resources\(", capsys.readouterr().out)
    exec(compile(prune, "README.md", "exec"), {})
    assert re.match(r"\('accuracy', [\d.]+, [\d.]+\) 2\.\d+", capsys.readouterr().out.splitlines()[-1])
    assert (tmp_path / "build" / "taste" / "metrics.json").is_file()
    exec(compile(quantize, "README.md", "exec"), {})
    assert "encoder.layer.1.output.dense (" in capsys.readouterr().out
    exec(compile(simulate, "README.md", "exec"), {})
    predicted, counted, dense, mismatches = map(int, capsys.readouterr().out.split()[-4:])
    assert predicted == counted < dense
    assert mismatches == 0
    exec(compile(generate, "README.md", "exec"), {})
    assert (tmp_path / "build" / "taste" / "hls" / "src" / "engine.cpp").is_file()


def test_the_readme_shows_its_two_commands() -> None:
    readme = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for target in ("demo", "test", "setup", "bench"):
        assert re.search(rf"^{target}:", makefile, flags=re.M)
    assert "make demo" in readme
    assert "make test" in readme
