from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from codesign.pruning.regulariser import GroupLasso
from codesign.pruning.selection import Masks
from codesign.pruning.sparsity import BlockMovement, KeepMasks, Rounds, Tighten, round_density, spread_rounds


def layer() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(6, 4)


def mask_of(*rows: str) -> Tensor:
    return torch.tensor([[character == "x" for character in row] for row in rows])


def test_rounds_are_spread_and_end_at_the_goal() -> None:
    assert spread_rounds(4, 40).at == {10: 1, 20: 2, 30: 3, 40: 4}
    assert spread_rounds(1, 7).at == {7: 1}
    # Zhu and Gupta's cubic by hand: 0.2 + 0.8·(1 − k/4)³.
    assert [round_density(0.2, k, 4) for k in range(5)] == pytest.approx([1.0, 0.5375, 0.3, 0.2125, 0.2])


def test_masks_are_kept_through_an_optimiser_with_momentum() -> None:
    module = layer()
    masks = {"m": mask_of("x.x", ".xx")}
    keep = KeepMasks({"m": module}, (2, 2), masks)
    optimiser = torch.optim.AdamW(module.parameters(), lr=0.1)
    for step in range(5):
        loss = module(torch.ones(3, 6)).square().sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        keep.after_step(step + 1, 0.1)
        assert not module.weight[:2, 2:4].any()
        assert not module.weight[2:, :2].any()
    assert module.weight[:2, :2].all()


def test_tighten_shrinks_prunes_and_reweights_when_due() -> None:
    module = layer()
    matrices = {"m": module}
    asked: list[int] = []

    def prune(number: int, masks: Masks) -> Masks:
        asked.append(number)
        found = masks["m"].clone()
        found.view(-1)[:number] = False
        return {"m": found}

    everything = {"m": torch.ones(2, 3, dtype=torch.bool)}
    lasso = GroupLasso(matrices, (2, 2), {"m": 0.01})
    after = Tighten(matrices, (2, 2), Rounds({2: 1, 4: 2}, 2), prune, everything, lasso, frozenset({3}))
    first = {name: beta.clone() for name, beta in lasso.beta.items()}
    before = module.weight.detach().clone()
    after.after_step(1, 0.1)
    assert (module.weight.abs() < before.abs()).all()
    after.after_step(2, 0.1)
    assert asked == [1]
    assert torch.equal(lasso.beta["m"], first["m"])
    after.after_step(3, 0.1)
    assert not torch.equal(lasso.beta["m"], first["m"])
    after.after_step(4, 0.1)
    assert asked == [1, 2]
    after.after_step(5, 0.1)
    assert not module.weight[:2, :4].any()
    # What a checkpoint holds brings another object to the same state.
    other = Tighten(matrices, (2, 2), Rounds({}, 1), prune, everything, GroupLasso(matrices, (2, 2), {"m": 0.01}))
    other.load(after.state())
    assert torch.equal(other.keep.masks["m"], after.keep.masks["m"])
    assert other.lasso is not None
    assert torch.equal(other.lasso.beta["m"], lasso.beta["m"])


def test_movement_scores_are_minus_gradient_times_weight_and_blocks_return() -> None:
    module = layer()
    original = module.weight.detach().clone()
    x, goal = torch.randn(5, 6), torch.randn(5, 4)
    masks = {"m": mask_of("x.x", "xx.")}
    seen: list[Tensor] = []

    def choose(number: int, scores: dict[str, Tensor]) -> Masks:
        seen.append(scores["m"])
        return {"m": mask_of(".xx", "xx.")}

    movement = BlockMovement({"m": module}, (2, 2), Rounds({2: 1}, 1), choose, masks)
    expanded = masks["m"].repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(module.weight, original * expanded)
    total = torch.zeros(2, 3)
    for _ in range(2):
        (module(x) - goal).square().sum().backward()
        # By hand: y = x·(W ⊙ mask)ᵀ + b, ∂loss/∂(W ⊙ mask) = 2·(y − goal)ᵀ·x.
        y = x @ (original * expanded).T + module.bias.detach()
        gradient = 2 * (y - goal).T @ x
        for i in range(2):
            for j in range(3):
                part = (slice(2 * i, 2 * i + 2), slice(2 * j, 2 * j + 2))
                total[i, j] -= (gradient[part] * original[part]).sum()
        weight = module.parametrizations.weight.original
        assert torch.allclose(weight.grad, gradient * expanded, atol=1e-4)
        weight.grad = None
    movement.after_step(1, 0.1)
    assert not seen
    movement.after_step(2, 0.1)
    assert torch.allclose(seen[0], total - total.min(), atol=1e-3)
    assert torch.equal(module.weight[:2, 2:4], original[:2, 2:4])  # a block that has returned
    final = movement.finish()
    assert torch.equal(final["m"], mask_of(".xx", "xx."))
    assert type(module) is nn.Linear
    assert not module.weight[:2, :2].any()
