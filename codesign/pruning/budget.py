"""The plan's budget as the pruner meets it, and what masks cost on the planned array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from codesign.boards import Board
from codesign.hardware.accelerator import SparseMatrix, WeightMemory, sparse_matrix
from codesign.hardware.cycles import block_cycles, fetch_cycles, token_groups
from codesign.hardware.predict import Design, LayerPlan, predict
from codesign.hardware.resources import usable_resources
from codesign.hardware.run import Prediction, RunMatrix, pruned
from codesign.models import Matrix
from codesign.planning import PlanDocument
from codesign.planning.work import BudgetKind
from codesign.program.estimate import beside, layout_of
from codesign.program.sentence import (
    dense_sentence_cycles,
    matrix_times,
    needed_of,
    sentence_cycles,
    sentence_times,
)
from codesign.pruning.groups import group_weights
from codesign.pruning.selection import Masks


@dataclass(frozen=True)
class Hardware:
    """The planned array on its board: what the pruner asks the hardware model.

    Attributes:
        plan: The plan.
        board: Its board.
    """

    plan: PlanDocument
    board: Board

    @cached_property
    def matrices(self) -> dict[str, Matrix]:
        """The encoder's matrices by name."""
        return {
            layer.name: Matrix(layer.name, layer.out_features, layer.in_features, layer.activation)
            for layer in self.plan.layers
        }

    @property
    def block(self) -> tuple[int, int]:
        """(R, C)."""
        return self.plan.accelerator.block

    @cached_property
    def block_cost(self) -> dict[str, float]:
        """Array cycles of one block of each matrix, its weights where the plan puts them."""
        tokens, rate = self._tokens, self.board.read_bytes_per_second
        return {
            layer.name: float(block_cycles(self.plan.accelerator, tokens, layer.weight_memory, rate))
            for layer in self.plan.layers
        }

    @property
    def free_blocks(self) -> dict[str, int] | None:
        """Blocks of every block row of each matrix that cost no cycles; None where the budget is of something else.

        A block row lasts at least T·Q, as long as T·Q / max(T, F) blocks.
        """
        if self.plan.budget.kind is not BudgetKind.LATENCY:
            return None
        accelerator, rate = self.plan.accelerator, self.board.read_bytes_per_second
        groups, interval = token_groups(accelerator, self.plan.tokens), accelerator.requant_interval
        return {
            layer.name: groups * interval // max(groups, fetch_cycles(accelerator, layer.weight_memory, rate))
            for layer in self.plan.layers
        }

    def design(self, masks: Masks) -> Design:
        """Resources and estimated cycles of these masks, weights placed anew."""
        rows, cols = self.block
        # Where the weights lie does not matter to what is run.
        matrices = [
            pruned(masks[name].cpu().numpy(), WeightMemory.BRAM, activation=matrix.activation)
            for name, matrix in self.matrices.items()
        ]
        run = needed_of(layout_of(self.plan.accelerator, self.plan.shape), matrices)
        sparse: list[SparseMatrix] = [
            sparse_matrix(matrix, rows, cols, one.row_blocks, of_rows)
            for matrix, one, of_rows in zip(self.matrices.values(), matrices, run.rows, strict=True)
        ]
        around = beside(self.plan.accelerator, self.plan.shape, run.unread(self.plan.shape.heads))
        return predict(self.plan.accelerator, self.board, sparse, self._tokens, around)

    def predicted(self, masks: Masks) -> Prediction:
        """What the sentences of a batch take with these masks, and with the dense model on the same array."""
        accelerator = self.plan.accelerator
        return Prediction(self._cycles(masks), self._dense_cycles, accelerator.clock_mhz)

    def layers(self, masks: Masks) -> tuple[LayerPlan, ...]:
        """Every matrix, with its cycles in a sentence, from its first block to the end of what follows from it."""
        plan = self.plan
        program, times = sentence_times(plan.accelerator, self.board, plan.shape, self._run(masks), plan.tokens)
        return tuple(
            replace(layer, predicted_cycles=time.ended - time.begun)
            for layer, time in zip(self.design(masks).layers, matrix_times(program, times), strict=True)
        )

    @property
    def _tokens(self) -> int:
        return self.plan.tokens * self.plan.batch

    def _run(self, masks: Masks) -> list[RunMatrix]:
        return [
            pruned(masks[layer.name].cpu().numpy(), layer.weight_memory, activation=layer.activation)
            for layer in self.design(masks).layers
        ]

    def _cycles(self, masks: Masks) -> int:
        plan = self.plan
        return sentence_cycles(plan.accelerator, self.board, plan.shape, self._run(masks), plan.tokens, plan.batch)

    @cached_property
    def _dense_cycles(self) -> int:
        plan = self.plan
        return dense_sentence_cycles(plan.accelerator, self.board, plan.shape, plan.tokens, plan.batch)

    def _milliseconds(self, masks: Masks) -> float:
        return self._cycles(masks) / self.plan.accelerator.clock_mhz / 1000

    def kept_weights(self, masks: Masks) -> int:
        """Weights in kept blocks, padding not counted."""
        return sum(int(self._weights[name][mask].sum()) for name, mask in masks.items())

    @cached_property
    def weights(self) -> int:
        """All weights of the matrices."""
        return sum(matrix.weights for matrix in self.matrices.values())

    def compression(self, masks: Masks) -> float:
        """All over kept weights of the encoder's matrices."""
        return self.weights / max(self.kept_weights(masks), 1)

    @cached_property
    def _weights(self) -> Mapping[str, torch.Tensor]:
        return {
            name: group_weights(torch.empty(m.out_features, m.in_features, device="meta"), self.block)
            for name, m in self.matrices.items()
        }

    @cached_property
    def counted(self) -> Mapping[str, torch.Tensor]:
        """What each block counts against the plan's budget, other things being equal."""
        by_weights = self.plan.budget.kind is BudgetKind.COMPRESSION
        return {name: w if by_weights else torch.ones_like(w) for name, w in self._weights.items()}

    def allows(self, masks: Masks) -> bool:
        """Whether masks meet the plan's budget."""
        budget = self.plan.budget
        if budget.kind is BudgetKind.COMPRESSION:
            return self.kept_weights(masks) * (budget.value or 1.0) <= self.weights * (1 + 1e-12)
        if budget.kind is BudgetKind.LATENCY:
            return self._milliseconds(masks) <= (budget.value or 0.0)
        if budget.kind is BudgetKind.ON_CHIP:
            design = self.design(masks)
            return design.on_chip and design.resources.fits(usable_resources(self.board))
        return True

    def reached(self, masks: Masks) -> str:
        """What masks reach, in the budget's own terms."""
        budget = self.plan.budget
        if budget.kind is BudgetKind.LATENCY:
            return f"{self._milliseconds(masks):.4g} ms"
        if budget.kind is BudgetKind.ON_CHIP:
            return f"{self.design(masks).streamed} of {len(self.matrices)} matrices in external memory"
        return f"{self.compression(masks):.4g}× compression"
