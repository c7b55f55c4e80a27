from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from codesign.pruning.distillation import Distillation, distillation_loss


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_against_the_formula_in_numpy() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    states = [(rng.normal(size=(3, 5, 4)), rng.normal(size=(3, 5, 4))) for _ in range(3)]
    present = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])
    p, q = softmax(theirs / 3.0), softmax(ours / 3.0)
    expected = 9.0 * np.mean(np.sum(p * (np.log(p) - np.log(q)), axis=1)) + 0.5 * 0.7
    for number, (student, teacher) in enumerate(states[1:]):  # the embedding's output is left out
        kept = present.astype(bool)
        if number == 1:  # of the last layer, the classifier reads the first token only
            kept[:, 1:] = False
        expected += 2.0 * np.mean((student[kept] - teacher[kept]) ** 2) / np.var(teacher[kept])
    found = distillation_loss(
        SimpleNamespace(logits=torch.tensor(ours), hidden_states=[torch.tensor(s) for s, _ in states]),
        SimpleNamespace(logits=torch.tensor(theirs), hidden_states=[torch.tensor(t) for _, t in states]),
        torch.tensor(present),
        torch.tensor(0.7),
        Distillation(temperature=3.0, hidden=2.0, labels=0.5),
        regression=False,
    )
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_a_value_is_learnt_by_its_square() -> None:
    output = [
        SimpleNamespace(logits=torch.tensor([[1.0], [2.0]])),
        SimpleNamespace(logits=torch.tensor([[1.5], [0.0]])),
    ]
    found = distillation_loss(
        output[0], output[1], torch.ones(2, 1), torch.tensor(9.0), Distillation(hidden=0.0), regression=True
    )
    assert float(found) == pytest.approx((0.25 + 4.0) / 2)
