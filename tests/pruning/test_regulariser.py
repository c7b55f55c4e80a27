from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch import nn

from codesign.pruning.groups import group_norms
from codesign.pruning.regulariser import EPSILON, GroupLasso, strengths


def layer(seed: int, n: int = 6, k: int = 8) -> nn.Linear:
    module = nn.Linear(k, n)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        module.weight.copy_(torch.randn((n, k), generator=generator))
    return module


@given(st.integers(0, 10**6), st.floats(0.01, 3.0))
def test_a_step_minimises_the_penalty_near_the_weights(seed: int, rate: float) -> None:
    # The proximal step is by definition the V that minimises ½‖V − W‖² + lr·λ·β·‖V‖ of each group.
    module = layer(seed, 2, 2)
    lasso = GroupLasso({"m": module}, (2, 2), {"m": 1.0})
    w = module.weight.detach().numpy().astype(float).flatten().copy()
    beta = float(1 / (np.linalg.norm(w) + EPSILON))
    assert float(lasso.beta["m"]) == pytest.approx(beta, rel=1e-5)
    lasso.step(rate)

    def objective(v: np.ndarray) -> float:
        return float(0.5 * np.sum((v - w) ** 2) + rate * beta * np.linalg.norm(v))

    best = minimize(
        objective, w * 0.5, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12, "maxiter": 4000}
    )
    found = module.weight.detach().numpy().flatten()
    assert objective(found) <= best.fun + 1e-6
    if rate * beta >= np.linalg.norm(w) * 1.0001:
        assert not found.any()


def test_the_penalty_is_the_paper_s_formula() -> None:
    module = layer(1)
    lasso = GroupLasso({"m": module}, (3, 4), {"m": 0.25})
    expected = 0.0
    for i in range(2):
        for j in range(2):
            norm = module.weight[3 * i : 3 * i + 3, 4 * j : 4 * j + 4].norm().item()
            expected += 0.25 * norm / (norm + EPSILON)
    assert lasso.penalty() == pytest.approx(expected, rel=1e-5)
    # β belongs to the milestone, not to the present weights.
    with torch.no_grad():
        module.weight.mul_(0.5)
    assert lasso.penalty() == pytest.approx(expected / 2, rel=1e-5)
    lasso.reweight()
    assert lasso.penalty() == pytest.approx(
        sum(0.25 * float(n / (n + EPSILON)) for n in group_norms(module.weight, (3, 4)).flatten()), rel=1e-5
    )


def test_without_a_task_the_budget_s_share_of_groups_vanishes() -> None:
    # λ is made so that the group at the budget's threshold just reaches zero at the end of the phase.
    module = layer(2, 40, 40)
    before = group_norms(module.weight.detach(), (4, 4)).flatten()
    rates = [0.01 * (100 - s) / 100 for s in range(100)]
    lasso = GroupLasso({"m": module}, (4, 4), strengths({"m": module}, (4, 4), 0.4, sum(rates), {"m": 3.0}))
    for rate in rates:
        lasso.step(rate)
    after = group_norms(module.weight.detach(), (4, 4)).flatten()
    gone = after < 1e-4
    assert int(gone.sum()) == 60
    assert before[gone].max() <= before[~gone].min()


def test_lambda_follows_predicted_cycles() -> None:
    matrices = {"a": layer(1), "b": layer(1), "c": layer(1)}
    cost = {"a": 10.0, "b": 30.0, "c": 20.0}
    found = strengths(matrices, (2, 2), 0.5, 1.0, cost)
    assert found["b"] / found["a"] == pytest.approx(3)
    assert found["c"] / found["a"] == pytest.approx(2)
    even = strengths(matrices, (2, 2), 0.5, 1.0, dict.fromkeys(cost, 7.0))
    assert sum(found.values()) == pytest.approx(sum(even.values()))
    assert strengths(matrices, (2, 2), 0.5, 1.0, cost, 2.0)["a"] == pytest.approx(2 * found["a"])


def test_lambda_knows_the_scale_of_each_matrix() -> None:
    small, large = layer(5), layer(5)
    with torch.no_grad():
        large.weight.mul_(10)
    matrices = {"small": small, "large": large}
    found = strengths(matrices, (2, 2), 0.5, 1.0, dict.fromkeys(matrices, 1.0))
    # λ grows with the square of the norm (up to ε): both lose the same share of their groups.
    assert found["large"] / found["small"] == pytest.approx(100, rel=0.01)


def test_sides_that_are_no_multiples() -> None:
    module = layer(4, 5, 7)
    before = module.weight.detach().clone()
    GroupLasso({"m": module}, (3, 4), {"m": 1.0}).step(0.05)
    ratio = module.weight.detach() / before
    for i, j in ((0, 0), (0, 4), (3, 0), (3, 4)):
        part = ratio[i : i + 3, j : j + 4]
        norm = float(before[i : i + 3, j : j + 4].norm())
        assert torch.allclose(part, torch.full_like(part, 1 - 0.05 / (norm + EPSILON) / norm), rtol=1e-4)
