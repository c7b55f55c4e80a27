"""Regression: learnt in standard deviations from the mean, answered in the user's own unit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from codesign.errors import InputError
from codesign.pruning.units import restore_, standardise_
from codesign.tasks.agreement import agreement_splits
from codesign.tasks.values import Unit
from tests.conftest import Outcome
from tests.pruning import tiny

Run = Callable[..., Outcome]


def regression_model(family: str, vocabulary: int = 50) -> PreTrainedModel:
    config = tiny.tiny_model(family, vocabulary).config
    config.num_labels = 1
    torch.manual_seed(1)
    return AutoModelForSequenceClassification.from_config(config).eval()


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_the_last_layer_lies_between_the_units(family: str) -> None:
    model = regression_model(family)
    batch = {"input_ids": torch.arange(12).view(3, 4) + 5, "attention_mask": torch.ones(3, 4, dtype=torch.long)}
    with torch.no_grad():
        given = model(**batch).logits
        standardise_(model, Unit(mean=20.0, deviation=4.0))
        standard = model(**batch).logits
        restore_(model, Unit(mean=20.0, deviation=4.0))
        restored = model(**batch).logits
    assert torch.allclose(standard, (given - 20) / 4, atol=1e-5)
    assert torch.allclose(restored, given, atol=1e-5)


def test_a_head_that_gives_no_single_value_is_refused() -> None:
    with pytest.raises(InputError, match="the head has 0 linear layers with one output"):
        standardise_(tiny.tiny_model("bert", 50), Unit(0.0, 1.0))


def values(folder: Path, low: float, high: float) -> Path:
    """Files whose value is how long a sentence is, and beside them a model."""
    splits = agreement_splits(tiny.SENTENCES, tiny.HELD_OUT, seed=1)
    for name, file in (("train", "train.tsv"), ("validation", "dev.tsv")):
        words = [min(len(text.split()), 16) / 16 for (text,) in splits[name].sentences]
        rows = zip(splits[name].sentences, words, strict=True)
        lines = [f"{text}\t{low + (high - low) * share:.4f}" for (text,), share in rows]
        (folder / file).write_text("\n".join(["sentence\tlabel", *lines]) + "\n")
    return folder


def predicted(folder: Path, data: Path) -> tuple[np.ndarray, np.ndarray]:
    """What a model answers by transformers alone, and the labels of the development sentences."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = [line.split("\t") for line in (data / "dev.tsv").read_text().splitlines()[1:]]
    with torch.no_grad():
        found = [float(model(**tokenizer(text, return_tensors="pt")).logits) for text, _ in rows]
    return np.array(found), np.array([float(label) for _, label in rows])


def test_values_far_from_zero_are_learnt_in_their_own_unit(codesign: Run, tmp_path: Path) -> None:
    model, data = tiny.make("bert", tmp_path), tmp_path / "values"
    data.mkdir()
    values(data, -30, 70)
    given = ("--task", "regression", "--data-dir", data, "--dense-epochs", 6, "--dense-learning-rate", 3e-3)
    told = codesign(*tiny.arguments(model, tmp_path / "out", *given, "--quantize"))
    assert told.code == 0, told.err
    found, labels = predicted(tmp_path / "out", data)
    # A model that has learnt nothing but the mean has 1 here; one that has not learnt the mean has more.
    assert np.sqrt(((found - labels) ** 2).mean()) < 0.6 * labels.std()
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["pruned"] == pytest.approx(100 * np.corrcoef(found, labels)[0, 1], abs=0.01)

    # Integer against float: points, the error in the labels' unit, and by what it is to be measured.
    agreed = metrics["integer_against_float"]["validation"]
    assert agreed["relative_error"] == pytest.approx(agreed["logits_error"] / labels.std())
    change = metrics["integer"] - metrics["pruned"]
    assert f"against float       pearson {change:+.2f}, spearman " in told.out
    said = f"in the labels' unit, {agreed['logits_error']:.3g}, {100 * agreed['relative_error']:.3g} % of the labels'"
    assert said in " ".join(told.out.split())

    # Fine-tuned on, with rounded weights, it still answers in the labels' unit.
    four = (
        "quantize",
        tmp_path / "out",
        "--weight-bits",
        4,
        "--epochs",
        1,
        "--calibration",
        64,
        "--precision",
        "fp32",
    )
    assert codesign(*four, "-o", tmp_path / "four").code == 0
    found, labels = predicted(tmp_path / "four", data)
    assert np.sqrt(((found - labels) ** 2).mean()) < 0.7 * labels.std()


def test_a_fine_tuned_model_starts_as_good_as_it_is(codesign: Run, tmp_path: Path) -> None:
    folder, data = tiny.make("bert", tmp_path), tmp_path / "values"
    data.mkdir()
    values(data, 1000, 1300)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = regression_model("bert", len(tokenizer))
    model.save_pretrained(folder)
    before, _ = predicted(folder, data)
    none = ("--sparse-epochs", 0, "--retrain-epochs", 0, "--compression", 1, "--importance", "norm")
    given = tiny.arguments(folder, tmp_path / "out", "--task", "regression", "--data-dir", data, *none)
    at = given.index("--dense-epochs")
    told = codesign(*given[:at], *given[at + 2 :])
    assert told.code == 0, told.err
    assert "the model came fine-tuned" in told.out
    after, _ = predicted(tmp_path / "out", data)
    assert np.allclose(after, before, atol=1e-3)  # float32 near 1000, whatever they are the answer to
