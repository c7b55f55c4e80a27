"""What is asked of the planner: a piece of work and a budget."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from codesign.models import EncoderShape, Matrix


class Granularity(StrEnum):
    """What the pruner's groups are; the array always has the same shape."""

    BLOCK = "block"  # R×C
    COLUMN = "column"  # R×1: one column of a block row
    ROW = "row"  # 1×C: one row's segment


class BudgetKind(StrEnum):
    """What the plan must reach."""

    DENSE = "dense"
    COMPRESSION = "compression"
    LATENCY = "latency"
    ON_CHIP = "on-chip"


@dataclass(frozen=True)
class Budget:
    """The plan's budget; ``value`` is a factor for compression, milliseconds for latency."""

    kind: BudgetKind = BudgetKind.DENSE
    value: float | None = None

    def __str__(self) -> str:
        text = {
            BudgetKind.DENSE: "none (dense)",
            BudgetKind.COMPRESSION: f"{self.value:g}× compression" if self.value else "",
            BudgetKind.LATENCY: f"{self.value:g} ms" if self.value else "",
            BudgetKind.ON_CHIP: "all weights on chip",
        }
        return text[self.kind]


@dataclass(frozen=True)
class Work:
    """What is to be planned.

    Attributes:
        shape: The encoder.
        tokens: Tokens of a sentence.
        batch: Sentences worked on together.
        weight_bits: 8 or 4.
        granularity: What the pruner's groups are.
        clock_mhz: Clock of the array; None for the board's default.
        block: (R, C) of the array, where it is given rather than searched.
    """

    shape: EncoderShape
    tokens: int = 128
    batch: int = 1
    weight_bits: int = 8
    granularity: Granularity = Granularity.BLOCK
    clock_mhz: float | None = None
    block: tuple[int, int] | None = None

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        """The encoder's weight matrices."""
        return tuple(self.shape.matrices())
