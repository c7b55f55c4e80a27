"""What keeps a model sparse while it trains: masks, the lasso, tightening in rounds, block movement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from codesign.pruning.encoder import Matrices
from codesign.pruning.groups import Block, expand, group_sums, scale_groups_
from codesign.pruning.regulariser import GroupLasso
from codesign.pruning.selection import Masks


def apply_masks(matrices: Matrices, masks: Masks, block: Block) -> None:
    """Set the weights of pruned blocks to zero."""
    for name, module in matrices.items():
        scale_groups_(module.weight, masks[name].to(module.weight), block)


def round_density(goal: float, number: int, rounds: int) -> float:
    """Part of the blocks that round ``number`` of ``rounds`` keeps: down to the goal by a cubic.

    Fast while much is redundant, slow near the end (Zhu and Gupta, 2017, arXiv 1710.01878, eq. 1).
    """
    return goal + (1 - goal) * (1 - number / rounds) ** 3


@dataclass(frozen=True)
class Rounds:
    """When a phase prunes, and how far: steps and the part of the goal that is reached by then (0 to 1).

    Attributes:
        at: Step → number of the round, from 1.
        count: Rounds in all.
    """

    at: Mapping[int, int]
    count: int


def spread_rounds(count: int, steps: int) -> Rounds:
    """Rounds at even distances, the last one at the phase's last step."""
    return Rounds({max(1, round(steps * number / count)): number for number in range(1, count + 1)}, count)


class KeepMasks:
    """Masked retraining: pruned blocks stay zero."""

    def __init__(self, matrices: Matrices, block: Block, masks: Masks) -> None:
        self.matrices, self.block = matrices, block
        self.set(masks)

    def set(self, masks: Masks) -> None:
        """Take over masks, to where the weights are."""
        self.masks = {name: masks[name].to(module.weight.device) for name, module in self.matrices.items()}

    def after_step(self, step: int, learning_rate: float) -> None:
        """Undo what the optimiser did to pruned blocks."""
        apply_masks(self.matrices, self.masks, self.block)

    def state(self) -> dict[str, Tensor]:
        """The masks."""
        return {f"mask.{name}": mask for name, mask in self.masks.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over masks."""
        self.set({name: state[f"mask.{name}"] for name in self.matrices})


class Tighten:
    """Training towards sparsity: the lasso, if any, after every step; some rounds of pruning in between.

    Args:
        matrices: The layers.
        block: R, C.
        rounds: When to prune.
        prune: Given the number of the round and the present masks, prunes the weights and returns the new masks.
        lasso: The penalty, if any.
        reweight_at: Steps at which β is refreshed.
    """

    def __init__(
        self,
        matrices: Matrices,
        block: Block,
        rounds: Rounds,
        prune: Callable[[int, Masks], Masks],
        masks: Masks,
        lasso: GroupLasso | None = None,
        reweight_at: frozenset[int] = frozenset(),
    ) -> None:
        self.keep = KeepMasks(matrices, block, masks)
        self.rounds, self.prune, self.lasso, self.reweight_at = rounds, prune, lasso, reweight_at

    def after_step(self, step: int, learning_rate: float) -> None:
        """Shrink, keep pruned blocks at zero, prune where a round is due."""
        if self.lasso is not None:
            self.lasso.step(learning_rate)
        self.keep.after_step(step, learning_rate)
        if step in self.rounds.at:
            self.keep.set(self.prune(self.rounds.at[step], self.keep.masks))
        if self.lasso is not None and step in self.reweight_at:
            self.lasso.reweight()

    def state(self) -> dict[str, Tensor]:
        """Masks and β."""
        beta = {} if self.lasso is None else {f"beta.{name}": b for name, b in self.lasso.beta.items()}
        return self.keep.state() | beta

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over masks and β."""
        self.keep.load(state)
        if self.lasso is not None:
            self.lasso.beta = {name: state[f"beta.{name}"].to(b.device) for name, b in self.lasso.beta.items()}


class _Masked(torch.autograd.Function):
    """W ⊙ mask; backwards the mask's gradient ∂loss/∂mask = Σ over the block of ∂loss/∂(W ⊙ mask) · W goes aside."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, owner: _Movement) -> Tensor:
        ctx.owner = owner
        ctx.save_for_backward(weight)
        return weight * expand(owner.mask, weight, owner.block)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (weight,) = ctx.saved_tensors
        owner = ctx.owner
        owner.score -= group_sums(gradient.float() * weight, owner.block)
        return gradient * expand(owner.mask, weight, owner.block), None


class _Movement(nn.Module):
    """One matrix under movement pruning: a score per block, and the mask that follows from the scores."""

    mask: Tensor
    score: Tensor

    def __init__(self, mask: Tensor, block: Block) -> None:
        super().__init__()
        self.block = block
        self.register_buffer("mask", mask.float())
        self.register_buffer("score", torch.zeros(mask.shape, device=mask.device))

    def forward(self, weight: Tensor) -> Tensor:
        return _Masked.apply(weight, self)


class BlockMovement:
    """Block movement pruning (Lagunas et al., 2021, arXiv 2109.04838), a baseline.

    A block's score sums −∂loss/∂W · W over the steps: how far training moves it away from zero. Pruned blocks keep
    their weights behind the mask and return if their score rises. The weights are masked by a parametrisation, so
    training sees the masked model.

    Args:
        matrices: The layers; the parametrisation is added here and ``finish`` removes it.
        block: R, C.
        rounds: When masks are renewed.
        choose: Given the number of the round and scores ≥ 0, returns the masks.
        masks: Those to begin with.
    """

    def __init__(
        self,
        matrices: Matrices,
        block: Block,
        rounds: Rounds,
        choose: Callable[[int, dict[str, Tensor]], Masks],
        masks: Masks,
    ) -> None:
        self.matrices, self.rounds, self.choose = matrices, rounds, choose
        self.parts = {name: _Movement(mask, block) for name, mask in masks.items()}
        for name, module in matrices.items():
            parametrize.register_parametrization(module, "weight", self.parts[name], unsafe=True)

    @property
    def masks(self) -> Masks:
        """The present masks."""
        return {name: part.mask.bool() for name, part in self.parts.items()}

    def after_step(self, step: int, learning_rate: float) -> None:
        """Renew the masks where a round is due."""
        if step not in self.rounds.at:
            return
        scores = {}
        for name, part in self.parts.items():
            score = part.score.clone()
            if torch.distributed.is_initialized():
                torch.distributed.all_reduce(score)
            scores[name] = score
        lowest = min(float(score.min()) for score in scores.values())
        chosen = self.choose(self.rounds.at[step], {name: score - lowest for name, score in scores.items()})
        for name, part in self.parts.items():
            part.mask.copy_(chosen[name])

    def state(self) -> dict[str, Tensor]:
        """Masks; the scores are buffers of the model and lie in its checkpoint."""
        return {f"mask.{name}": mask for name, mask in self.masks.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Nothing: the model's own checkpoint holds it all."""

    def finish(self) -> Masks:
        """Leave plain linear layers with the masked weights; returns the masks."""
        masks = self.masks
        for module in self.matrices.values():
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
        return masks
