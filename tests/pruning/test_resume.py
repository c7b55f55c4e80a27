"""A run that is killed and resumed ends where an undisturbed one does; several processes end together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import Outcome
from tests.pruning import tiny

Run = Callable[..., Outcome]
# Long enough phases that a kill meets each of them, with a checkpoint every third step.
LONGER = ("--dense-epochs", 3, "--sparse-epochs", 3, "--retrain-epochs", 3, "--save-steps", 3, "--rounds", 5)


def start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "codesign", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def kill_in(phase: str, arguments: list[str], work: Path) -> None:
    """Run until a phase has a checkpoint, then SIGKILL."""
    process = start(arguments)
    deadline = time.monotonic() + 240
    while not any((work / phase).glob("checkpoint-*/pruning.safetensors")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (work / phase / "done").exists(), "the kill came too late for this phase"


def masks(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "masks.safetensors")


@pytest.mark.parametrize("method", ["lasso", "movement"])
def test_killed_in_every_phase_and_resumed(codesign: Run, tmp_path: Path, method: str) -> None:
    model = tiny.make("bert", tmp_path)
    options = (*LONGER, "--method", method)
    undisturbed = codesign(*tiny.arguments(model, tmp_path / "whole", *options))
    assert undisturbed.code == 0, undisturbed.err
    broken = tmp_path / "broken"
    given = tiny.arguments(model, broken, *options)
    kill_in("dense", given, broken / "work")
    assert not (broken / "metrics.json").exists()
    # Neither a half-written checkpoint nor a half-written phase is taken for a whole one.
    (broken / "work" / "dense" / "checkpoint-9999").mkdir()
    (broken / "work" / "dense" / ".done.x1").mkdir()
    told = codesign(*given)
    assert told.code == 2
    assert "this folder holds an unfinished run; accepted: --resume" in told.err
    kill_in("sparse", [*given, "--resume"], broken / "work")
    kill_in("retrain", [*given, "--resume"], broken / "work")
    # Data and model have been moved: they are told by what is in them, not by where they are.
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "data").rename(moved / "data")
    told = codesign(*tiny.arguments(model.rename(moved / model.name), broken, *options), "--resume")
    assert told.code == 0, told.err
    assert f"training sentences from {moved / 'data'}" in told.out
    one, two = masks(tmp_path / "whole"), masks(broken)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    ours, theirs = (load_file(f / "model.safetensors") for f in (tmp_path / "whole", broken))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not (broken / "work").exists()


def test_resuming_another_run_is_refused(codesign: Run, tmp_path: Path) -> None:
    model = tiny.make("bert", tmp_path)
    given = tiny.arguments(model, tmp_path / "o", *LONGER)
    kill_in("dense", given, tmp_path / "o" / "work")
    (tmp_path / "o" / ".codesign.lock").unlink()  # the kill left it
    before = {p: p.read_bytes() for p in (tmp_path / "o").rglob("*") if p.is_file()}
    for options, message in (
        (("--compression", 3), "plan.budget.value: the run in this folder was started otherwise: 2.0, not 3.0"),
        (("--seed", 5), "settings.seed: the run in this folder was started otherwise: 0, not 5"),
        (("--method", "movement"), "settings.method: the run in this folder was started otherwise: 'lasso'"),
        (("--block", "8x8"), "plan."),
    ):
        told = codesign(*given, *options, "--resume")
        assert told.code == 2
        (line,) = told.err.splitlines()
        assert "run.json: " in line
        assert message in line
    assert before == {p: p.read_bytes() for p in (tmp_path / "o").rglob("*") if p.is_file()}
    assert codesign(*given, "--overwrite").code == 0


def test_two_processes_give_the_masks_of_one(codesign: Run, tmp_path: Path) -> None:
    model = tiny.make("bert", tmp_path)
    one, other, two = tmp_path / "one", tmp_path / "other", tmp_path / "two"
    assert codesign(*tiny.arguments(model, one)).code == 0
    # The same with another order of the data and other dropout: how much masks depend on that.
    assert codesign(*tiny.arguments(model, other, "--seed", 1)).code == 0
    given = tiny.arguments(model, two, "--batch-size", 8)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, "-m", "codesign", *given], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote ") == 1
    assert json.loads((two / "metrics.json").read_text())["processes"] == 2

    def alike(a: Path, b: Path) -> float:
        ours, theirs = masks(a), masks(b)
        same = sum(int((ours[name] == theirs[name]).sum()) for name in ours)
        return same / sum(mask.numel() for mask in ours.values())

    # The two processes share the same batches in the same order: they differ from one process by rounding and
    # dropout only, so by less than another order of the data makes.
    assert alike(one, two) >= alike(one, other)


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    # A limit on the size of files stands for the end of the disk: writing fails in the middle.
    model = tiny.make("bert", tmp_path)
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "import torch, transformers, codesign.pruning.prune\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))\n"
        f"sys.argv = ['codesign', *{tiny.arguments(model, tmp_path / 'o')!r}]\n"
        "from codesign.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=240)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot be written: " in done.stderr.splitlines()[-1]
    # Nothing that could be taken for a result; the same command goes on once there is room.
    assert not (tmp_path / "o" / "metrics.json").exists()
    assert not (tmp_path / "o" / "model.safetensors").exists()
    assert not (tmp_path / "o" / "work" / "dense" / "done").exists()


def test_a_folder_that_cannot_be_made(codesign: Run, tmp_path: Path) -> None:
    model = tiny.make("bert", tmp_path)
    (tmp_path / "file").write_text("mine")
    told = codesign(*tiny.arguments(model, tmp_path / "file"))
    assert told.code == 2
    assert "file: this is a file, a folder is to be written" in told.err
    assert (tmp_path / "file").read_text() == "mine"
