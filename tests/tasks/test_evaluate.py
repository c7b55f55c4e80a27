import numpy as np
import pytest

from codesign.tasks import GLUE
from codesign.tasks.evaluate import agreement


def test_agreement_by_hand() -> None:
    wanted = np.array([[1.0, 0.0], [0.0, 2.0]])
    # The first is shifted as a whole, which decides nothing; the second's margin goes from 2 to -1.
    found = np.array([[4.0, 3.0], [2.0, 1.0]])
    agreed = agreement(GLUE["sst2"], wanted, found)
    assert (agreed.sentences, agreed.decided_otherwise) == (2, 1)
    assert agreed.logits_error == pytest.approx(np.sqrt((0 + 0 + 1.5**2 + 1.5**2) / 4))


def test_agreement_of_a_regression() -> None:
    agreed = agreement(GLUE["stsb"], np.array([[1.0], [2.0]]), np.array([[1.5], [2.5]]))
    assert (agreed.sentences, agreed.decided_otherwise, agreed.logits_error) == (2, None, 0.5)
