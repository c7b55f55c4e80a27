"""A run goes on with what it was begun with, wherever that is called from; what was stopped says how to go on."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import codesign.pruning.training as training
from codesign.pruning.progress import STATE, where_it_stands
from tests.conftest import Outcome
from tests.pruning import tiny

Run = Callable[..., Outcome]


def stop_at_checkpoint(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Ctrl-C just behind the writing of so manieth checkpoint."""
    saved, seen = training._Hook.on_save, []

    def save(self: object, args: object, state: object, control: object, **named: object) -> None:
        saved(self, args, state, control, **named)
        seen.append(state)
        if len(seen) == number:
            raise KeyboardInterrupt

    monkeypatch.setattr(training._Hook, "on_save", save)


def test_stopped_says_where_and_how_to_go_on(codesign: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.make("bert", tmp_path)
    out = tmp_path / "o"
    given = tiny.arguments(model, out, "--rounds", 2)
    with monkeypatch.context() as patch:
        stop_at_checkpoint(patch, 2)
        told = codesign(*given, "--overwrite")
    assert told.code == 130
    (line,) = told.err.splitlines()
    last = out / "work" / "sparse" / "checkpoint-12"
    assert line.startswith(
        f"codesign: stopped in the sparse phase; to go on from {last}: codesign prune --board zcu104 "
    )
    assert line.endswith(" --resume")
    assert "--overwrite" not in line
    record = out / "work" / "run.json"
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    dev, train = (tmp_path / "data" / f"{name}.tsv" for name in ("dev", "train"))

    def refused(change: Callable[[], object], undo: Callable[[], object], message: str) -> None:
        change()
        told = codesign(*given, "--resume")
        undo()
        assert told.code == 2, told.out
        (line,) = told.err.splitlines()
        assert message in line
        assert line.endswith("accepted: what was there then, another --output-dir, or --overwrite")
        assert before == {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}

    # The data file has other content: one label, one word of a sentence.
    for path, split in ((train, "train"), (dev, "validation")):
        text = path.read_text()
        flipped = text[:-2] + str(1 - int(text[-2])) + "\n"
        message = f"{path.parent}: sentences or labels of the {split} split have changed since this run began"
        refused(lambda p=path, t=flipped: p.write_text(t), lambda p=path, t=text: p.write_text(t), message)
        other = text.replace("the ", "a ", 1)
        refused(lambda p=path, t=other: p.write_text(t), lambda p=path, t=text: p.write_text(t), message)
    # The model's folder has other content.
    config = (model / "config.json").read_text()
    refused(
        lambda: (model / "config.json").write_text(config.replace("0.1", "0.0")),
        lambda: (model / "config.json").write_text(config),
        f"{model}: config.json has changed since this run began",
    )
    refused(
        lambda: (model / "special_tokens_map.json").write_text("{}"),
        lambda: (model / "special_tokens_map.json").unlink(),
        f"{model}: special_tokens_map.json has come since",
    )
    assert json.loads(record.read_text())["data"] == str(tmp_path / "data")
    assert json.loads(record.read_text())["model"] == str(model)

    # With nothing changed, and from elsewhere by another path, the printed command goes on.
    monkeypatch.chdir(tmp_path)
    relative = [Path(a).relative_to(tmp_path) if Path(a) in (model, tmp_path / "data") else a for a in given]
    done = codesign(*relative, "--resume")
    assert done.code == 0, done.err
    assert "going on from" in done.out
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["data"] == str(tmp_path / "data")
    assert metrics["sha256"]["data"] == json.loads(before[record])["sha256"]["data"]

    # codesign quantize finds the data from anywhere, and refuses what has changed since.
    monkeypatch.chdir("/")
    quantize = ("quantize", out, "-o", tmp_path / "design", "--calibration", 64)
    shutil.copytree(tmp_path / "data", tmp_path / "moved")
    text = train.read_text()
    train.write_text(text.replace("the ", "a ", 1))
    told = codesign(*quantize)
    assert told.code == 2
    assert f"{tmp_path / 'data'}: sentences or labels of the train split have changed since the model was" in told.err
    assert codesign(*quantize, "--data-dir", tmp_path / "moved").code == 0
    train.write_text(text)
    (out / "tokenizer_config.json").write_text((out / "tokenizer_config.json").read_text() + "\n")
    told = codesign(*quantize, "--overwrite")
    assert told.code == 2
    assert f"{out / 'tokenizer_config.json'}: truncated or changed: SHA-256 differs from metrics.json's" in told.err


def test_columns_are_kept_with_the_run(codesign: Run, tmp_path: Path) -> None:
    model = tiny.make("bert", tmp_path)
    for name in ("train", "dev"):
        path = tmp_path / "data" / f"{name}.tsv"
        path.write_text(path.read_text().replace("sentence\tlabel", "text\tgold", 1))
    epochs = ("--dense-epochs", 0, "--sparse-epochs", 0, "--retrain-epochs", 0, "--importance", "norm")
    given = tiny.arguments(model, tmp_path / "o", *epochs, "--limit", 32)
    told = codesign(*given)
    assert told.code == 2
    assert "columns missing, found text, gold; accepted: sentence, label; --columns names others" in told.err
    done = codesign(*given, "--columns", "sentence=text,label=gold", "--quantize", "--calibration", 16)
    assert done.code == 0, done.err
    assert "columns text, gold" in done.out
    assert "limit of 32 training sentences: 32 of 192 drawn by seed 0" in done.out
    assert "no effect: --calibration (--importance norm measures no curvature)" in done.out
    metrics = json.loads((tmp_path / "o" / "metrics.json").read_text())
    assert metrics["columns"] == {"sentence": "text", "label": "gold"}
    again = codesign("quantize", tmp_path / "o", "-o", tmp_path / "design", "--learning-rate", 1e-3)
    assert again.code == 0, again.err
    # No more training sentences than the run was limited to; and what does nothing is said.
    assert "calibrating on 32 training sentences" in again.out
    assert "no effect: --learning-rate (nothing is fine-tuned: --epochs)" in again.out
    told = codesign("quantize", tmp_path / "o", "-o", tmp_path / "d", "--columns", "sentence=gold,label=text")
    assert told.code == 2


@pytest.mark.parametrize(
    ("limit", "more", "steps"),
    [(1, (), 1), (32, (), 2), (17, ("--method", "movement"), 2)],
    ids=str,
)
def test_as_few_steps_as_there_are(
    codesign: Run, tmp_path: Path, limit: int, more: tuple[object, ...], steps: int
) -> None:
    model = tiny.make("bert", tmp_path)
    done = codesign(*tiny.arguments(model, tmp_path / "o", "--limit", limit, *more))
    assert done.code == 0, done.err
    assert f"sparse: {steps} steps of training, so {steps} rounds of pruning, not 8" in done.out
    metrics = json.loads((tmp_path / "o" / "metrics.json").read_text())
    assert metrics["compression"]["encoder"] >= 2


def test_one_step_trains() -> None:
    phase = training.Phase("p", 1, 1e-3)
    assert training.learning_rates(phase, 1) == [1e-3]
    assert training.learning_rates(phase, 2) == [0, 1e-3]


def test_where_a_run_stands(tmp_path: Path) -> None:
    assert where_it_stands(tmp_path) == ("dense", None)
    for step in (5, 20, 100):
        (tmp_path / "dense" / f"checkpoint-{step}").mkdir(parents=True)
    assert where_it_stands(tmp_path) == ("dense", None)
    for step in (5, 20):
        (tmp_path / "dense" / f"checkpoint-{step}" / STATE).write_bytes(b"")
    assert where_it_stands(tmp_path) == ("dense", tmp_path / "dense" / "checkpoint-20")
    (tmp_path / "dense" / "done").mkdir()
    (tmp_path / "sparse").mkdir()
    assert where_it_stands(tmp_path) == ("sparse", tmp_path / "dense" / "done")


def test_a_real_ctrl_c_before_anything(tmp_path: Path) -> None:
    # The signal itself: typer makes an exit code of it without a word.
    script = (
        "import os, signal, sys, codesign.boards\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background jobs ignore it
        "codesign.boards.board_names = lambda: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.argv = ['codesign', 'boards']\n"
        "from codesign.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == "codesign: stopped; the same command begins again\n"


@pytest.mark.parametrize(
    ("command", "target", "message"),
    [
        ("quantize", "codesign.quantisation.quantise.observe", "stopped before {out} was written; the same command"),
        ("gen-hls", "codesign.simulation.trace.trace", "stopped before {out} was whole; the same command writes it"),
        (
            "simulate",
            "codesign.simulation.design.simulate_design",
            "stopped while simulating; no results were written, the same",
        ),
    ],
)
def test_every_long_command_says_how_to_go_on(
    codesign: Run,
    pruned: Callable[[str], Path],
    quantised: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    target: str,
    message: str,
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    source = pruned("bert") if command == "quantize" else quantised("bert")
    monkeypatch.setattr(target, stop)
    place = "--work-dir" if command == "simulate" else "-o"
    told = codesign(command, source, place, tmp_path / "out")
    assert told.code == 130
    assert told.err.startswith(f"codesign: {message.format(out=tmp_path / 'out')}")
    assert list(tmp_path.rglob("*")) == ([tmp_path / "out"] if command == "simulate" else [])
