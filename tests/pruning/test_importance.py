"""Second order against brute force: least squares by numpy, curvature by loops."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from codesign.pruning import importance
from codesign.pruning.groups import group_norms
from codesign.pruning.importance import (
    Curvature,
    curvature_objective,
    mean_norms,
    measure_curvature,
    refit_,
    relative_norms,
    second_order,
)


def case(seed: int, n: int, k: int, samples: int) -> tuple[nn.Linear, np.ndarray, Curvature]:
    """A layer, correlated inputs (samples × K), and its curvature."""
    generator = torch.Generator().manual_seed(seed)
    module = nn.Linear(k, n)
    mix = torch.randn((k, k), generator=generator) / k**0.5 + torch.eye(k)
    with torch.no_grad():
        module.weight.copy_(torch.randn((n, k), generator=generator))
        module.bias.copy_(torch.randn(n, generator=generator))
    x = torch.randn((samples, k), generator=generator) @ mix + 0.3
    joined = torch.cat([x, torch.ones(samples, 1)], dim=1)
    scale = torch.rand(n, generator=generator) + 0.1
    return module, x.numpy().astype(np.float64), Curvature(joined.T @ joined / samples, scale)


def well_conditioned(x: np.ndarray) -> bool:
    """Solves are in float32: with a condition of 10⁴ they are good to 10⁴ · 2⁻²³ · 16 = 2 %, the tolerance below."""
    joined = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    return bool(np.linalg.cond(joined.T @ joined) < 1e4)


def columns(kept: np.ndarray, block: tuple[int, int], k: int) -> np.ndarray:
    return np.array([c for c in range(k) if kept[c // block[1]]], dtype=int)


def least_squares(x: np.ndarray, row: np.ndarray, bias: float, own: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Best weights and bias on the inputs ``own`` for the outputs of the full row; and the mean squared error."""
    wanted = x @ row + bias
    basis = np.concatenate([x[:, own], np.ones((len(x), 1))], axis=1)
    solution, *_ = np.linalg.lstsq(basis, wanted, rcond=None)
    error = float(np.mean((basis @ solution - wanted) ** 2))
    weights = np.zeros(len(row))
    weights[own] = solution[:-1]
    return weights, float(solution[-1]), error


@pytest.fixture(autouse=True)
def undamped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importance, "DAMPING", 0.0)
    monkeypatch.setattr(importance, "REFIT_DAMPING", 0.0)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(2, 9), st.integers(1, 3), st.integers(1, 4))
def test_importance_is_the_loss_of_the_best_repair(seed: int, n: int, k: int, height: int, width: int) -> None:
    module, x, curvature = case(seed, n, k, 400)
    assume(well_conditioned(x))
    block = (height, width)
    rows, cols = -(-n // height), -(-k // width)
    mask = torch.rand((rows, cols), generator=torch.Generator().manual_seed(seed)) < 0.8
    weight = module.weight.detach().clone()
    for i in range(rows):
        for j in range(cols):
            if not mask[i, j]:
                weight[i * height : (i + 1) * height, j * width : (j + 1) * width] = 0
    found = second_order(weight, curvature, mask, block)
    assert found.shape == (rows, cols)
    for i in range(rows):
        for j in range(cols):
            if not mask[i, j]:
                assert found[i, j] == 0
                continue
            left = mask[i].numpy().copy()
            left[j] = False
            own = columns(left, block, k)
            lost = sum(
                float(curvature.outputs[r]) * least_squares(x, weight[r].numpy().astype(float), 0.0, own)[2]
                for r in range(i * height, min(n, (i + 1) * height))
            )
            assert float(found[i, j]) == pytest.approx(lost, rel=2e-2, abs=1e-4)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(2, 9), st.integers(1, 3), st.integers(1, 4))
def test_refit_is_least_squares(seed: int, n: int, k: int, height: int, width: int) -> None:
    module, x, curvature = case(seed, n, k, 400)
    assume(well_conditioned(x))
    weight, bias = (
        module.weight.detach().numpy().astype(float).copy(),
        module.bias.detach().numpy().astype(float).copy(),
    )
    block = (height, width)
    before = torch.ones(-(-n // height), -(-k // width), dtype=torch.bool)
    after = torch.rand(before.shape, generator=torch.Generator().manual_seed(seed)) < 0.6
    refit_(module, curvature, before, after, block)
    for r in range(n):
        kept = after[r // height].numpy()
        if kept.all():
            assert np.array_equal(module.weight[r].detach().numpy(), weight[r].astype(np.float32))
            continue
        wanted, wanted_bias, _ = least_squares(x, weight[r], bias[r], columns(kept, block, k))
        assert module.weight[r].detach().numpy() == pytest.approx(wanted, rel=2e-2, abs=2e-3)
        assert module.bias[r].item() == pytest.approx(wanted_bias, rel=2e-2, abs=2e-3)
        gone = np.setdiff1d(np.arange(k), columns(kept, block, k))
        assert not module.weight[r].detach().numpy()[gone].any()


def test_refit_repairs_what_plain_zeroing_breaks() -> None:
    module, x, curvature = case(3, 8, 16, 500)
    inputs = torch.tensor(x, dtype=torch.float32)
    wanted = module(inputs).detach()
    before = torch.ones(4, 4, dtype=torch.bool)
    after = before.clone()
    after[:, 1] = False
    zeroed = nn.Linear(16, 8)
    zeroed.load_state_dict(module.state_dict())
    with torch.no_grad():
        zeroed.weight[:, 4:8] = 0
    refit_(module, curvature, before, after, (2, 4))
    assert not module.weight[:, 4:8].any()
    repaired, broken = ((m(inputs) - wanted).square().mean().item() for m in (module, zeroed))
    assert repaired < 0.8 * broken


def test_curvature_is_what_loops_say() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    matrices = {"first": model[0], "second": model[2]}
    present = torch.tensor([[1, 1, 0], [1, 0, 0]])
    x = torch.randn(2, 3, 3)
    probe = torch.randn(2, 3, 2)

    def objective(batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return (model(batch["x"]) * probe * batch["attention_mask"][..., None]).sum()

    found = measure_curvature(matrices, [{"x": x, "attention_mask": present}], objective)
    tokens = [(0, 0), (0, 1), (1, 0)]
    inputs, squares, weights = torch.zeros(4, 4), torch.zeros(4), 0.0
    for s, t in tokens:
        one = torch.cat([x[s, t], torch.ones(1)])
        hidden = model[0](x[s, t])
        gradient = ((1 - hidden.tanh() ** 2) * (model[2].weight.T @ probe[s, t])).detach()
        weight = float(gradient @ gradient)
        inputs += weight * torch.outer(one, one)
        squares += gradient**2
        weights += weight
    assert torch.allclose(found["first"].inputs, inputs / weights, rtol=1e-4, atol=1e-6)
    assert torch.allclose(found["first"].outputs, squares / 3, rtol=1e-4)
    expected = sum(probe[s, t] ** 2 for s, t in tokens) / 3
    assert torch.allclose(found["second"].outputs, expected, rtol=1e-5)
    # Nothing is left on the model.
    assert all(not m._forward_hooks for m in matrices.values())
    assert all(p.grad is None for p in model.parameters())


def test_the_objective_s_gradients_have_the_curvature_as_second_moments() -> None:
    torch.manual_seed(0)
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]], requires_grad=True)
    states = [torch.randn(2, 3, 4, requires_grad=True) for _ in range(3)]
    present = torch.tensor([[1, 1, 1], [1, 1, 0]])

    def model(output_hidden_states: bool, attention_mask: torch.Tensor) -> SimpleNamespace:
        assert output_hidden_states
        return SimpleNamespace(logits=logits, hidden_states=states)

    generator = torch.Generator().manual_seed(1)
    objective = curvature_objective(model, regression=False, hidden=0.5, temperature=2.0, generator=generator)
    draws = 4000
    moments = torch.zeros(2, 3, 3)
    for _ in range(draws):
        gradients = torch.autograd.grad(objective({"attention_mask": present}), [logits, *states], allow_unused=True)
        moments += gradients[0][:, :, None] * gradients[0][:, None, :] / draws
    # The Hessian of T²·KL at temperature T is diag(p) − p·pᵀ of the softened prediction; 2 sentences.
    p = (logits.detach() / 2).softmax(-1)
    wanted = (torch.diag_embed(p) - p[:, :, None] * p[:, None, :]) / 2
    assert torch.allclose(moments, wanted, atol=5 * 0.5 / draws**0.5)
    # Gauss-Newton of hidden·Σ(error²)/(variance·values): constant, whatever the signs.
    assert gradients[1] is None  # the embedding's output
    for state, gradient, read in (
        (states[1], gradients[2], present.bool()),
        (states[2], gradients[3], torch.tensor([[True, False, False], [True, False, False]])),
    ):
        values = state.detach()[read]
        squares = read[..., None] * 0.5 / (values.var() * values.numel())
        assert torch.allclose(gradient**2, squares.expand(2, 3, 4), rtol=1e-4)


def test_relative_norms_know_no_scale() -> None:
    one, two = nn.Linear(5, 7), nn.Linear(5, 7)
    with torch.no_grad():
        two.weight.copy_(one.weight * 9)
    matrices = {"one": one, "two": two}
    found = relative_norms(matrices, (2, 3), mean_norms(matrices, (2, 3)))
    assert torch.allclose(found["one"], found["two"])
    assert float(found["one"].mean()) == pytest.approx(1, rel=1e-5)
    norms = group_norms(one.weight.detach(), (2, 3))
    assert torch.allclose(found["one"], norms / norms.mean())
