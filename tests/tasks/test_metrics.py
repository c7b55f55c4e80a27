"""A score that is no number."""

from __future__ import annotations

import numpy as np
import pytest

from codesign.errors import InputError
from codesign.tasks.evaluate import scores_of
from codesign.tasks.metrics import score
from codesign.tasks.task import GLUE


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("task", ["cola", "mrpc", "stsb"])
def test_logits_that_are_no_numbers_have_no_score(task: str, bad: float) -> None:
    logits = np.zeros((5, 1 if task == "stsb" else 2), dtype=np.float32)
    logits[[1, 3], 0] = bad
    predictions = {"validation": (logits, np.array([0, 1, 0, 1, 1]))}
    with pytest.raises(
        InputError, match=r"mine, dense \(validation\): gives NaN or infinite logits on 2 of 5 sentences"
    ):
        scores_of(GLUE[task], predictions, "mine, dense")


def test_large_values_correlate_as_small_ones_do() -> None:
    values = np.array([[1.0], [2.0], [4.0]], dtype=np.float32)
    labels = np.array([1.0, 2.0, 5.0])
    # float32 squares of 1e30 are infinite: the correlation was 0
    assert score(GLUE["stsb"], values * np.float32(1e30), labels) == pytest.approx(
        score(GLUE["stsb"], values, labels)
    )
