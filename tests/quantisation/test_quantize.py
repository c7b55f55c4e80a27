"""``codesign quantize`` on whole tiny runs: the design folder, what it refuses, int4, every family."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from codesign.boards import load_board
from codesign.design import read_design
from codesign.errors import InputError
from codesign.hardware import run as run_model
from codesign.hardware.accelerator import sparse_matrix
from codesign.hardware.predict import predict
from codesign.models import Matrix
from codesign.packing.blocks import unpack
from codesign.packing.images import matrices_of
from codesign.program.estimate import beside
from codesign.program.sentence import sentence_times
from codesign.quantisation.classifier import IntegerClassifier
from codesign.quantisation.load import load_encoder
from codesign.quantisation.observe import observe
from tests.conftest import Outcome
from tests.pruning import tiny

Run = Callable[..., Outcome]


def _decided(folder: Path, run: Path, integers: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels of the development set, sentence by sentence, by what a folder has."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def logits_of(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return model(**batch).logits

    if integers:
        design = read_design(folder)
        first, last = (torch.from_numpy(design.constants[f"scales.{name}"]) for name in ("embedding", "output"))
        encoder = load_encoder(design)
        scales = (first, *[last] * len(encoder.layers))
        logits_of = IntegerClassifier(model, design.document.shape, encoder, scales).logits
    logits, labels = [], []
    for line in (run.parent / "data" / "dev.tsv").read_text().splitlines()[1:]:
        text, label = line.split("\t")
        with torch.no_grad():
            logits.append(logits_of(dict(tokenizer(text, return_tensors="pt", truncation=True, max_length=32)))[0])
        labels.append(int(label))
    return torch.stack(logits).numpy(), np.array(labels)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_the_design_folder_is_whole(
    codesign: Run, pruned: Callable[[str], Path], family: str, tmp_path: Path
) -> None:
    run = pruned(family)
    told = codesign("quantize", run, "-o", tmp_path / "design", "--calibration", 64)
    assert told.code == 0, told.err
    assert {p.name for p in (tmp_path / "design").iterdir()} == {
        ".codesign.json",
        "config.json",
        "design.yaml",
        "images",
        "metrics.json",
        "model.safetensors",
        "program.json",
        "sentences.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "weights.safetensors",
    }
    design = read_design(tmp_path / "design")
    masks = load_file(run / "masks.safetensors")
    plan, shape = design.document.accelerator, design.document.shape

    # Cycles and resources are the hardware model's of these masks.
    sparse = [
        sparse_matrix(
            Matrix(x.name, x.out_features, x.in_features, x.activation),
            plan.rows,
            plan.cols,
            masks[x.name].sum(dim=1).tolist(),
        )
        for x in design.document.layers
    ]
    wanted = predict(plan, load_board("zcu104"), sparse, design.document.tokens, beside(plan, shape))
    assert design.document.predicted.resources == wanted.resources
    matrices = [
        run_model.pruned(masks[x.name].bool().numpy(), x.weight_memory, activation=x.activation)
        for x in wanted.layers
    ]
    program, times = sentence_times(plan, load_board("zcu104"), shape, matrices, design.document.tokens)
    assert design.document.predicted.cycles == times.cycles
    spent = {step.matrix: time.ended - time.begun for step, time in zip(program.array, times.array, strict=True)}
    assert [x.predicted_cycles for x in design.document.layers] == [spent[n] for n in range(len(wanted.layers))]

    # Images, constants and masks say the same of every matrix; pruned blocks are nowhere.
    engine = {matrix.name: matrix for matrix in matrices_of(design.images)}
    for layer in design.document.layers:
        stored, image = design.engine_matrix(layer), engine[layer.name]
        assert np.array_equal(unpack(stored.packed), unpack(image.packed))
        # Empty block rows and block columns are not in the images.
        whole, part = unpack(design.packed(layer)), design.part(layer)
        assert np.array_equal(whole[part.outputs][:, part.inputs], unpack(image.packed))
        assert np.count_nonzero(whole) == np.count_nonzero(unpack(image.packed))
        mask = masks[layer.name].bool().numpy()
        for features, sides in (
            (part.outputs, (1, plan.rows, whole.shape[0])),
            (part.inputs, (0, plan.cols, whole.shape[1])),
        ):
            axis, size, most = sides
            assert len(features) == len([i for i in range(most) if mask.any(axis)[i // size]])
        assert all(np.array_equal(a, b) for a, b in zip(stored.channels, image.channels, strict=True))
        assert layer.nonzero_blocks == int(masks[layer.name].sum()) == len(image.packed.blocks)
        assert layer.activation == (image.tables is not None) == layer.key.endswith("ffn_in")

    # The folder's model and integers give the scores that its metrics have.
    metrics = json.loads((tmp_path / "design" / "metrics.json").read_text())
    assert (
        json.loads((run / "metrics.json").read_text())["integer"] is None
    )  # another folder than the run's own design
    found, labels = _decided(tmp_path / "design", run)
    assert metrics["integer"] == pytest.approx(100 * (found.argmax(1) == labels).mean())
    in_float, _ = _decided(run, run, integers=False)
    agreed = metrics["integer_against_float"]["validation"]
    assert agreed["sentences"] == len(labels)
    assert agreed["decided_otherwise"] == (found.argmax(1) != in_float.argmax(1)).sum()
    # Two classes: less its mean, the difference is ± half of the difference of differences.
    margin = np.diff(found - in_float)[:, 0] / 2
    assert agreed["logits_error"] == pytest.approx(float(np.sqrt((margin**2).mean())), rel=1e-3)


def test_the_same_choices_give_the_same_bytes(codesign: Run, pruned: Callable[[str], Path], tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert codesign("quantize", pruned("bert"), "-o", tmp_path / name, "--calibration", 64).code == 0
    files = {p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*") if p.is_file()}
    assert files == {p.relative_to(tmp_path / "two") for p in (tmp_path / "two").rglob("*") if p.is_file()}
    # These have the seconds, or the hash of those.
    for name in files - {Path("metrics.json"), Path("design.yaml"), Path(".codesign.json")}:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_int4_is_fine_tuned_and_planned_anew(codesign: Run, pruned: Callable[[str], Path], tmp_path: Path) -> None:
    run, out = pruned("bert"), tmp_path / "four"
    given = ("quantize", run, "--weight-bits", 4, "--calibration", 64, "--precision", "bf16", "--batch-size", 16)
    told = codesign(*given, "-o", out, "--epochs", 2, "--learning-rate", 1e-3)
    assert told.code == 0, told.err
    assert "planning anew for int4 weights in the same blocks" in told.out
    assert "fine-tuning with rounded weights: 2 epochs" in told.out
    design = read_design(out)
    assert design.document.accelerator.weight_bits == 4
    assert design.document.accelerator.block == (4, 8)
    model = AutoModelForSequenceClassification.from_pretrained(out)
    for layer in design.document.layers:
        integers = torch.from_numpy(unpack(design.packed(layer))).float()
        assert integers.abs().max() <= 7
        # The checkpoint's weights lie on the grid: integer × the row's scale ÷ the column's, a sum of two logarithms.
        weight = model.base_model.get_submodule(layer.name).weight.detach()
        assert torch.equal(weight != 0, integers != 0)
        row, column = integers.nonzero(as_tuple=True)
        sides = torch.zeros(len(row), sum(integers.shape), dtype=torch.float64)
        sides[torch.arange(len(row)), row] = 1
        sides[torch.arange(len(row)), integers.shape[0] + column] = 1
        ratio = (weight / integers)[row, column].double().log()[:, None]
        assert (sides @ torch.linalg.lstsq(sides, ratio, driver="gelsd").solution - ratio).abs().max() < 1e-5
    assert not (out / "work").exists()
    # However it was trained, what was scored is what the folder has, to the last bit.
    metrics = json.loads((out / "metrics.json").read_text())
    found, labels = _decided(out, run)
    assert metrics["integer"] == pytest.approx(100 * (found.argmax(1) == labels).mean())
    in_float, _ = _decided(run, run, integers=False)
    margin = np.diff(found - in_float)[:, 0] / 2
    agreed = metrics["integer_against_float"]["validation"]
    assert agreed["logits_error"] == pytest.approx(float(np.sqrt((margin**2).mean())), rel=1e-4)
    untrained = codesign(*given, "-o", tmp_path / "raw", "--epochs", 0)
    assert untrained.code == 0
    raw = read_design(tmp_path / "raw").document.quantisation
    assert raw.trained_epochs == 0
    assert design.document.quantisation.trained_epochs == 2


def test_a_broken_fine_tuning_goes_on(
    codesign: Run, pruned: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off after a checkpoint, the same command ends with the same integers as an undisturbed one."""
    import codesign.pruning.training as training

    given = ("--weight-bits", 4, "--calibration", 64, "--precision", "fp32", "--epochs", 3, "--batch-size", 16)
    assert codesign("quantize", pruned("bert"), "-o", tmp_path / "whole", *given).code == 0
    saved = training._Hook.on_save

    def stop(self: object, args: object, state: object, control: object, **named: object) -> None:
        saved(self, args, state, control, **named)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training._Hook, "on_save", stop)
        assert codesign("quantize", pruned("bert"), "-o", tmp_path / "broken", *given).code == 130
    assert not (tmp_path / "broken" / "design.yaml").exists()
    assert list((tmp_path / "broken" / "work").glob("checkpoint-*"))
    told = codesign("quantize", pruned("bert"), "-o", tmp_path / "broken", *given)
    assert told.code == 0, told.err
    assert "going on from" in told.out
    whole, broken = (tmp_path / name / "weights.safetensors" for name in ("whole", "broken"))
    assert whole.read_bytes() == broken.read_bytes()


def test_what_is_corrected_is_the_trained_model(
    codesign: Run, pruned: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After fine-tuning the activations are others: the biases must be corrected on those."""
    import codesign.quantisation.quantise as step

    seen = []

    def spy(model: PreTrainedModel, *given: object, **named: object) -> object:
        seen.append(model.bert.encoder.layer[0].output.dense.weight.detach().clone())
        return observe(model, *given, **named)

    monkeypatch.setattr(step, "observe", spy)
    given = ("--weight-bits", 4, "--calibration", 64, "--precision", "fp32", "--epochs", 1)
    assert codesign("quantize", pruned("bert"), "-o", tmp_path / "four", *given).code == 0
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "four")
    assert torch.equal(seen[-1], model.bert.encoder.layer[0].output.dense.weight)
    assert not torch.equal(seen[0], seen[-1])


def test_prune_leaves_its_design(codesign: Run, tmp_path: Path) -> None:
    model = tiny.make("bert", tmp_path)
    told = codesign(*tiny.arguments(model, tmp_path / "out", "--quantize"))
    assert told.code == 0, told.err
    assert "integer: " in told.out
    design = read_design(tmp_path / "out" / "design")
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["integer"] == metrics["all_metrics"]["integer"]["validation"]["accuracy"]
    assert design.document.predicted.cycles == metrics["predicted"]["cycles"]
    assert design.document.predicted.dense_cycles == metrics["predicted"]["dense_cycles"]


def test_ranges_can_be_chosen(codesign: Run, pruned: Callable[[str], Path], tmp_path: Path) -> None:
    for ranges in ("max", "percentile"):
        told = codesign("quantize", pruned("bert"), "-o", tmp_path / ranges, "--ranges", ranges, "--calibration", 64)
        assert told.code == 0
        assert read_design(tmp_path / ranges).document.quantisation.ranges == ranges


def one_line(told: Outcome) -> str:
    assert told.code == 2
    (line,) = told.err.splitlines()
    return line.removeprefix("codesign: ")


def test_wrong_input_is_refused(codesign: Run, pruned: Callable[[str], Path], tmp_path: Path) -> None:
    run = pruned("bert")
    for given, message in (
        (("quantize", tmp_path / "nowhere"), "nowhere: no such folder; accepted: the folder of a finished run"),
        (("quantize", tmp_path), "plan.yaml: no such file"),
        (
            ("quantize", run, "--ranges", "entropy"),
            "--ranges: not accepted (got 'entropy'); accepted: max, percentile, mse",
        ),
        (("quantize", run, "--weight-bits", 5), "--weight-bits: not accepted (got 5); accepted: 8 or 4"),
        (("quantize", run, "--calibration", 0), "--calibration: not accepted (got 0); accepted: 1 to 1048576"),
        (
            ("quantize", run, "--board", "kv260"),
            "--board: the plan is for another board (got 'kv260'); accepted: zcu104",
        ),
        (("quantize", run, "--data-dir", tmp_path / "none"), "none"),
        (
            ("quantize", run, "--precision", "fp8"),
            "--precision: not accepted (got 'fp8'); accepted: auto, bf16, fp32",
        ),
    ):
        assert message in one_line(codesign(*given, "-o", tmp_path / "out"))
        assert not (tmp_path / "out").exists()


def test_runs_that_do_not_fit_are_refused(codesign: Run, pruned: Callable[[str], Path], tmp_path: Path) -> None:
    def told(change: Callable[[Path], None]) -> str:
        folder = tmp_path / "run"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(pruned("bert"), folder)
        # As an older version left it, without hashes: what its files say of each other.
        metrics = json.loads((folder / "metrics.json").read_text())
        assert metrics.pop("checksum")
        assert set(metrics.pop("files")) >= {"plan.yaml", "masks.safetensors", "model.safetensors", "config.json"}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        change(folder)
        return one_line(codesign("quantize", folder, "-o", tmp_path / "out"))

    def other_format(folder: Path) -> None:
        path = folder / "metrics.json"
        path.write_text(path.read_text().replace("codesign-metrics-1", "codesign-metrics-7"))

    def fewer_blocks(folder: Path) -> None:
        masks = load_file(folder / "masks.safetensors")
        masks[next(iter(masks))].zero_()
        save_file(masks, folder / "masks.safetensors")

    def one_mask_less(folder: Path) -> None:
        masks = load_file(folder / "masks.safetensors")
        masks.pop(next(iter(masks)))
        save_file(masks, folder / "masks.safetensors")

    assert "metrics.json: format: results of another format version (got 'codesign-metrics-7')" in told(other_format)
    assert "masks.safetensors: " in (line := told(fewer_blocks))
    assert "the model has weights in pruned blocks" in line
    assert "no mask of this matrix in the plan's blocks" in told(one_mask_less)
    assert "masks.safetensors: cannot be read" in told(lambda f: (f / "masks.safetensors").write_bytes(b"x" * 90))
    assert "no metrics.json here" in told(lambda f: (f / "metrics.json").unlink())
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing(
    codesign: Run, pruned: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import codesign.quantisation.quantise as step

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(step, "write_images", full)
    out = tmp_path / "out"
    assert "cannot be written: No space left on device" in one_line(
        codesign("quantize", pruned("bert"), "-o", out, "--calibration", 64)
    )
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def design(runs: Path) -> Path:
    return runs / "design-to-damage"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "design.yaml").unlink(), "no design.yaml here; accepted: a design folder"),
        (lambda f: cut(f / "weights.safetensors"), "weights.safetensors: truncated or changed: SHA-256 differs"),
        (
            lambda f: (f / "model.safetensors").unlink(),
            "model.safetensors: design.yaml names this file, it is not there",
        ),
        (
            lambda f: swap(f / "design.yaml", "codesign-design-5", "codesign-design-4"),
            "format version (got 'codesign-design-4'); accepted: codesign-design-5: run codesign quantize again",
        ),
        (
            lambda f: swap(f / "design.yaml", "nonzero_blocks: ", "nonzero_blocks: 1"),
            "design.yaml: checksum: changed since it was written",
        ),
        (lambda f: swap(f / "design.yaml", "seed: ", "sead: "), "design.yaml: sead: unknown field"),
        (lambda f: cut(f / "images" / "channels.bin"), "channels.bin: images.channels: truncated or overlong"),
    ],
)
def test_damaged_designs_are_refused(
    codesign: Run,
    pruned: Callable[[str], Path],
    design: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    message: str,
) -> None:
    if not design.is_dir():
        assert codesign("quantize", pruned("bert"), "-o", design, "--calibration", 64).code == 0
    shutil.copytree(design, tmp_path / "design")
    damage(tmp_path / "design")
    with pytest.raises(InputError) as caught:
        _ = read_design(tmp_path / "design").images
    assert message in str(caught.value)
    assert str(tmp_path / "design") in str(caught.value)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def swap(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(re.sub(re.escape(old), new, text, count=1))
