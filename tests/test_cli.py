from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from codesign.boards import board_names
from tests.conftest import Outcome

Run = Callable[..., Outcome]
COMMANDS = ("boards", "plan", "prune", "quantize", "gen-hls", "report")
SMALL = "hidden=64,layers=1,ffn=128,heads=2"


def test_help_names_every_command(codesign: Run) -> None:
    shown = codesign("--help")
    assert shown.code == 0
    assert all(command in shown.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_has_a_complete_example(codesign: Run, command: str) -> None:
    shown = codesign(command, "--help")
    assert shown.code == 0
    assert re.search(rf"Example:\s+codesign {command} ", shown.out)


@pytest.mark.parametrize("command", ["boards", "plan"])
def test_the_example_works(codesign: Run, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    example = re.search(rf"Example:\s+codesign ({command} [^│╭]+)", codesign(command, "--help").out)
    assert example
    assert codesign(*shlex.split(example[1])).code == 0


def test_heavy_packages_are_imported_only_where_used() -> None:
    check = (
        "import sys; sys.argv = ['codesign', '--help']\n"
        "from codesign.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'numpy', 'matplotlib', 'yaml', 'jinja2', 'accelerate', 'datasets',"
        " 'scipy', 'sklearn', 'codesign.planning.plan'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert "HEAVY []" in shown.stdout


def test_threads_wait_without_spinning(codesign: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # Before torch is loaded, which the test above looks after; what the user has set stays.
    for given, wanted in ((None, "passive"), ("active", "active")):
        monkeypatch.setenv("OMP_WAIT_POLICY", "")  # restored afterwards
        monkeypatch.delenv("OMP_WAIT_POLICY")
        if given:
            monkeypatch.setenv("OMP_WAIT_POLICY", given)
        assert codesign("--version").code == 0
        assert os.environ["OMP_WAIT_POLICY"] == wanted


def test_planning_needs_no_torch(tmp_path: Path) -> None:
    check = (
        f"import sys; sys.argv = ['codesign', 'plan', '-b', 'kv260', '--shape', '{SMALL}', '-o', {str(tmp_path)!r}]\n"
        "from codesign.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: print('CODE', end.code)\n"
        "print('HEAVY', sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert "CODE 0" in shown.stdout
    assert "HEAVY []" in shown.stdout


def test_boards_table_and_details(codesign: Run) -> None:
    table = codesign("boards")
    assert table.code == 0
    assert all(name in table.out for name in board_names())
    details = codesign("boards", "zcu104")
    assert "xczu7ev-ffvc1156-2-e" in details.out
    assert re.search(r"device\.lut\s+230,400\s+\[\d+\]", details.out)
    assert re.search(r"usable\.bandwidth\s+0\.8\s+\[\d+\] unconfirmed", details.out)


def test_plan_writes_and_explains(codesign: Run, tmp_path: Path) -> None:
    done = codesign(
        "plan", "--board", "zcu104", "--shape", SMALL, "--compression", "2", "-o", tmp_path, "--seed", "7"
    )
    assert done.code == 0
    assert done.err == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == [".codesign.json", "plan.json", "plan.png", "plan.yaml"]
    content = json.loads((tmp_path / "plan.json").read_text())
    assert content["seed"] == 7
    accelerator = content["accelerator"]
    assert f"array {accelerator['rows']}×{accelerator['cols']}×{accelerator['lanes']}" in done.out
    predicted = content["predicted"]
    assert f"predicted {predicted['latency_ms']:.3f} ms  {predicted['cycles']:,} cycles from start to" in done.out
    assert f"{predicted['speedup']:.2f}× as fast as the same array" in done.out
    # What arrays are compared by is named so wherever it stands.
    alone = sum(layer["predicted_cycles"] for layer in content["layers"])
    assert f"compared by a closed form: {alone:,} cycles of matrices here" in done.out
    for part in ("Resources", "Matrices", "Runners-up", "← binds", "on the host: tokenizer", "compute"):
        assert part in done.out
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")


def test_plan_without_a_model_uses_the_embedded_default(codesign: Run, tmp_path: Path) -> None:
    done = codesign("plan", "--board", "pynq-z2", "-o", tmp_path)
    assert done.code == 0
    assert "No model given" in done.out
    assert json.loads((tmp_path / "plan.json").read_text())["model"] == "embedded-default"


def test_a_board_of_the_user_needs_a_file_only(codesign: Run, tmp_path: Path) -> None:
    from codesign.shipped import data_folder

    mine = tmp_path / "my-board.yaml"
    text = (data_folder("boards") / "kv260.yaml").read_text()
    mine.write_text(text.replace("name: kv260", "name: my-board").replace("  dsp: 1248", "  dsp: 600"))
    done = codesign("plan", "--board", mine, "--shape", SMALL, "-o", tmp_path / "out")
    assert done.code == 0
    content = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert content["board"] == "my-board"
    assert content["predicted"]["dsp"] <= 480


BAD = [
    (["plan"], "Missing option '--board'"),
    (["plan", "--board", "nope"], "unknown board (got 'nope'); accepted: a YAML file's path, or one of kv260"),
    (["plan", "--board", "gone.yaml"], "gone.yaml: no such file"),
    (["plan", "--board", "zcu104", "--tokens", "x"], "--tokens"),
    (["plan", "--board", "zcu104", "--tokens", "0"], "--tokens: not accepted (got 0); accepted: 1 to 4096"),
    (["plan", "--board", "zcu104", "--weight-bits", "3"], "--weight-bits: not accepted (got 3); accepted: 8 or 4"),
    (["plan", "--board", "zcu104", "--compression", "0.5"], "--compression"),
    *[
        (["plan", "--board", "zcu104", f"{option}={value}"], f"{option}: not accepted (got {value}); accepted: ")
        for option in ("--compression", "--latency-ms", "--clock-mhz")
        for value in ("nan", "inf", "-inf", "-5.0", "0.0", "1e+30")
    ],
    *[
        (["plan", "--board", "zcu104", f"{option}={value}"], f"{option}: not accepted (got {value}); accepted: ")
        for option in ("--tokens", "--batch", "--weight-bits")
        for value in (-5, 0, 10**20)
    ],
    *[
        ([*command, f"--seed={value}"], f"--seed: not accepted (got {value}); accepted: 0 to 4294967295")
        for command in (
            ["plan", "--board", "zcu104"],
            ["prune", "--board", "zcu104"],
            ["quantize", "gone"],
            ["gen-hls", "gone"],
        )
        for value in (-5, 2**32)
    ],
    (
        ["prune", "--board", "zcu104", "--dense-epochs=nan"],
        "--dense-epochs: not accepted (got nan); accepted: 0 to 1",
    ),
    (["prune", "--board", "zcu104", "--columns=label=a"], "--columns: the embedded default makes its own data"),
    (["plan", "--board", "zcu104", "--block", f"4x{'9' * 5000}"], "--block: not a block shape"),
    (["plan", "--board", "zcu104", "--shape", f"hidden={'9' * 5000},layers=1,ffn=4,heads=1"], "hidden: not a size"),
    (["plan", "--board", "zcu104", "--compression", "2", "--fit", "on-chip"], "give one budget, not 2"),
    (["plan", "--board", "zcu104", "--fit", "bram"], "--fit: not accepted (got 'bram'); accepted: on-chip"),
    (["plan", "--board", "zcu104", "--block", "16"], "--block: not a block shape (got '16'); accepted: RxC, such as"),
    (["plan", "--board", "zcu104", "--block", "4x4", "--granularity", "row"], "accepted: 1xC for rows"),
    (["plan", "--board", "zcu104", "--block", "256x256"], "no array with blocks of 256×256 fits this board"),
    (["plan", "--board", "zcu104", "--granularity", "tile"], "accepted: block, column, row"),
    (["plan", "--board", "zcu104", "--model", "./gone"], "./gone: no config.json there"),
    (["plan", "--board", "zcu104", "--model", "a", "--shape", "b"], "give --model or --shape, not both"),
    (["plan", "--board", "zcu104", "--shape", "hidden=5"], "this field is missing"),
    (["plan", "--board", "pynq-z2", "--latency-ms", "0.001"], "pynq-z2 cannot reach 0.001 ms"),
    (["plan", "--board", "zcu104", "--nonsense"], "--nonsense"),
    (["boards", "nope"], "unknown board"),
    (["bords"], "bords"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(b[0])[:80] for b in BAD])
def test_bad_input_is_one_line_and_exit_code_2(
    codesign: Run, arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Default output folders lie below where one is: two tests at a time would find each other's lock in them.
    monkeypatch.chdir(tmp_path)
    told = codesign(*arguments)
    assert told.code == 2
    (line,) = told.err.splitlines()
    assert line.startswith("codesign: ")
    assert message in line
    assert "Traceback" not in told.out


def test_an_output_folder_that_cannot_be_made(codesign: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told = codesign("plan", "--board", "zcu104", "--shape", SMALL, "-o", tmp_path / "file")
    assert told.code == 2
    assert "this is a file, a folder is to be written" in told.err
    assert (tmp_path / "file").read_text() == ""


def test_debug_shows_where(monkeypatch: pytest.MonkeyPatch) -> None:
    from codesign.cli import main
    from codesign.errors import InputError

    monkeypatch.setattr(sys, "argv", ["codesign", "--debug", "boards", "nope"])
    with pytest.raises(InputError):
        main()


def test_a_fault_of_the_program_is_no_traceback_either(codesign: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import codesign.boards as boards

    def fault() -> list[str]:
        raise RuntimeError("broken")

    monkeypatch.setattr(boards, "board_names", fault)
    told = codesign("boards")
    assert told.code == 1
    assert told.err.splitlines() == [
        "codesign: internal error: RuntimeError: broken (codesign --debug … shows where)"
    ]


def test_version(codesign: Run) -> None:
    from codesign import __version__

    assert codesign("--version").out.strip() == f"codesign {__version__}"
