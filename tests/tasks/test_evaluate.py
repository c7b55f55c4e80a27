import numpy as np
import pytest

from codesign.tasks import GLUE
from codesign.tasks.evaluate import agreement, change_text


def test_agreement_by_hand() -> None:
    wanted = np.array([[1.0, 0.0], [0.0, 2.0]])
    # The first is shifted as a whole, which decides nothing; the second's margin goes from 2 to -1.
    found = np.array([[4.0, 3.0], [2.0, 1.0]])
    agreed = agreement(GLUE["sst2"], wanted, found, np.array([0, 1]))
    assert (agreed.sentences, agreed.decided_otherwise) == (2, 1)
    assert agreed.logits_error == pytest.approx(np.sqrt((0 + 0 + 1.5**2 + 1.5**2) / 4))
    # Less their means, the wanted logits are ±0.5 and ±1.
    assert agreed.relative_error == pytest.approx(np.sqrt(1.5**2 / 2) / np.sqrt((0.5**2 + 1) / 2))


def test_agreement_of_a_regression() -> None:
    agreed = agreement(GLUE["stsb"], np.array([[1.0], [2.0]]), np.array([[1.5], [2.5]]), np.array([0.0, 4.0]))
    assert (agreed.sentences, agreed.decided_otherwise, agreed.logits_error) == (2, None, 0.5)
    assert agreed.relative_error == 0.5 / 2  # labels of 0 and 4 have a standard deviation of 2


def test_a_change_is_said_in_points() -> None:
    before = {"a": {"pearson": 87.0, "spearman": 80.0}, "b": {"pearson": 50.0, "spearman": 1.0}}
    after = {"a": {"pearson": 83.0, "spearman": 80.5}, "b": {"pearson": 50.0, "spearman": 0.0}}
    assert change_text(before, after) == (
        "pearson -4.00 (a), spearman +0.50 (a), pearson +0.00 (b), spearman -1.00 (b) points"
    )
    one = {"a": {"f1": 1.0}}
    assert change_text(one, one) == "f1 +0.00 points"
