"""Which numbers are accepted, and which choices change nothing beside others."""

from __future__ import annotations

from typing import Any

import pytest

from codesign.errors import InputError
from codesign.pruning.settings import Method, Settings, without_effect
from codesign.quantisation.quantise import Choices

NAN, INF = float("nan"), float("inf")
FLOATS = (
    "hidden",
    "strength",
    "floor",
    "dense_epochs",
    "sparse_epochs",
    "retrain_epochs",
    "dense_learning_rate",
    "learning_rate",
)
WHOLE = ("rounds", "balance", "batch_size", "calibration", "patience", "limit", "save_steps", "seed")


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [(Settings, name, value) for name in FLOATS for value in (NAN, INF, -INF, -1.0, 1e30)]
    + [(Settings, name, value) for name in WHOLE for value in (-5, 10**20)]
    + [(Settings, name, 0) for name in ("rounds", "balance", "batch_size", "calibration", "limit", "save_steps")]
    + [(Choices, name, value) for name in ("epochs", "learning_rate") for value in (NAN, INF, -1.0, 1e30)]
    + [(Choices, name, value) for name in ("calibration", "batch_size", "seed") for value in (-5, 10**20)],
)
def test_numbers_out_of_range_are_refused_by_name(kind: Any, name: str, value: float) -> None:
    with pytest.raises(InputError) as caught:
        kind(**{name: value})
    option = "--" + name.replace("_", "-")
    assert str(caught.value).startswith(f"{option}: not accepted (got {value!r}); accepted: ")


def test_every_number_is_in_the_list() -> None:
    texts = {"method", "importance", "distill", "precision"}
    assert set(FLOATS) | set(WHOLE) | texts == set(vars(Settings()))


def test_every_seed_that_all_libraries_take() -> None:
    assert Settings(seed=2**32 - 1).seed == Choices(seed=2**32 - 1).seed == 4294967295
    with pytest.raises(InputError, match=r"--seed: not accepted \(got 4294967296\); accepted: 0 to 4294967295"):
        Settings(seed=2**32)


def test_movement_needs_training() -> None:
    with pytest.raises(InputError, match="--sparse-epochs: movement is seen while training only"):
        Settings(method=Method.MOVEMENT, sparse_epochs=0)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"method": "magnitude", "rounds": 3}, "no effect: --rounds (--method magnitude cuts once"),
        (
            {"method": "magnitude", "importance": "norm", "strength": 1.0},
            "no effect: --importance, --strength (--meth",
        ),
        ({"method": "movement", "calibration": 5}, "no effect: --calibration (--method movement has"),
        ({"method": "gradual", "strength": 1.0}, "no effect: --strength (--method gradual has no penalty)"),
        ({"importance": "norm", "calibration": 5}, "no effect: --calibration (--importance norm measures"),
        ({"distill": False, "hidden": 1.0}, "no effect: --hidden (--no-distill learns"),
        ({"sparse_epochs": 0.0, "strength": 1.0}, "no effect: --strength (without --sparse-epochs"),
        ({"dense_epochs": 0.0, "dense_learning_rate": 1e-5}, "no effect: --dense-learning-rate ("),
        ({"sparse_epochs": 0.0, "retrain_epochs": 0.0, "learning_rate": 1e-5}, "no effect: --learning-rate ("),
        ({"patience": 6}, "no effect: --patience (neither dense fine-tuning nor retraining has more than 6 epochs)"),
        ({"patience": 2, "save_steps": 5}, "no effect: --save-steps (with --patience"),
        ({"balance": 12}, "no effect: --balance (no block row has more than 12 blocks)"),
    ],
)
def test_what_has_no_effect_is_said(given: dict[str, Any], line: str) -> None:
    (told,) = without_effect(Settings(**given), given, block_columns=12)
    assert told.startswith(line)
    # Not where it was left at its default.
    assert without_effect(Settings(**given), (), block_columns=12) == []


@pytest.mark.parametrize(
    "given",
    [
        {"rounds": 3, "strength": 1.0, "calibration": 5, "hidden": 2.0, "importance": "second-order"},
        {"method": "gradual", "rounds": 3, "importance": "norm"},
        {"method": "movement", "rounds": 3, "hidden": 1.0},
        {"method": "magnitude", "sparse_epochs": 1.0, "learning_rate": 1e-3},
        {"patience": 5, "balance": 11},
    ],
)
def test_what_has_an_effect_is_not_said(given: dict[str, Any]) -> None:
    assert without_effect(Settings(**given), given, block_columns=12) == []
