"""The reweighted group lasso: λ·Σ β_g·‖W_g‖₂ with β_g = 1 / (‖W_g‖₂ + ε), minimised by proximal steps.

Method: Li et al., 2020 (arXiv 2009.08065); reweighting: Candès, Wakin and Boyd, 2008. The penalty is not added to
the loss: Adam divides every gradient by its own size and would so undo what β says. Instead each optimiser step is
followed by the penalty's proximal step with the step size of the optimiser (as AdamW does with weight decay),

    W_g ← W_g · max(0, 1 − lr·λ·β_g / ‖W_g‖₂)

which is the exact minimiser of the penalty near W_g and makes whole groups zero.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from codesign.pruning.encoder import Matrices
from codesign.pruning.groups import Block, group_norms, scale_groups_
from codesign.pruning.importance import mean_norms, relative_norms

EPSILON = 1e-3
"""ε of the reweighting: the value of the authors' public code (see docs)."""


class GroupLasso:
    """The penalty on one model's matrices.

    Args:
        matrices: The layers.
        block: R, C.
        strength: λ per matrix.
    """

    def __init__(self, matrices: Matrices, block: Block, strength: Mapping[str, float]) -> None:
        self.matrices = matrices
        self.block = block
        self.strength = dict(strength)
        self.beta: dict[str, Tensor] = {}
        self.reweight()

    def reweight(self) -> None:
        """Refresh β from the present norms: small groups are pressed harder from here on, large ones less."""
        self.beta = {
            name: 1 / (group_norms(module.weight.detach(), self.block) + EPSILON)
            for name, module in self.matrices.items()
        }

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """The proximal step."""
        for name, module in self.matrices.items():
            norms = group_norms(module.weight, self.block)
            shrink = self.beta[name].mul(learning_rate * self.strength[name]).div_(norms.clamp_min_(1e-12))
            scale_groups_(module.weight, shrink.neg_().add_(1).clamp_min_(0), self.block)

    @torch.no_grad()
    def penalty(self) -> float:
        """The present value of λ·Σ β_g·‖W_g‖₂."""
        return sum(
            self.strength[name] * float((self.beta[name] * group_norms(module.weight, self.block)).sum())
            for name, module in self.matrices.items()
        )


def strengths(
    matrices: Matrices, block: Block, density: float, steps: float, cost: Mapping[str, float], factor: float = 1.0
) -> dict[str, float]:
    """λ per matrix, such that the budget's share of groups would just vanish if the task did not resist.

    With β fixed, a group of norm w reaches zero after learning rates that sum up to w·(w + ε) / λ. The group that
    the budget would remove last has the norm θ, the (1 − density) quantile; λ = θ·(θ + ε) / Σ lr brings it to zero
    at the end of the phase, smaller ones earlier. Norms are compared relative to the mean of their matrix.
    Reweighting speeds up the ones that shrink, and the task's gradient holds the ones that it needs.

    Args:
        matrices: The layers.
        block: R, C.
        density: Part of the groups that the budget keeps.
        steps: Σ lr over the steps of the phase.
        cost: Predicted cycles of a block per matrix: λ is scaled by them, to a mean of 1.
        factor: The user's own factor.
    """
    means = mean_norms(matrices, block)
    relative = relative_norms(matrices, block, means)
    # torch.quantile refuses large inputs.
    together = torch.cat([norms.flatten() for norms in relative.values()])
    gone = round((1 - density) * together.numel())
    quantile = float(together.kthvalue(gone).values) if gone else 0.0
    mean_cost = sum(cost[name] * relative[name].numel() for name in matrices) / together.numel()
    found = {}
    for name in matrices:
        threshold = quantile * means[name]
        found[name] = factor * cost[name] / mean_cost * threshold * (threshold + EPSILON) / steps
    return found
