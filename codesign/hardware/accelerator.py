"""The accelerator's parameters and the work it is given: plain data, on which cycles and resources depend.

The engine computes Y[N×M] = requant(W[N×K]·X[K×M] + b), W block-sparse in R×C blocks, with R·C·L
multiply-accumulates per cycle: one nonzero block stays in the array while the tokens stream past it, L at a
time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from codesign.errors import InputError
from codesign.hardware.dsp import packing_choices
from codesign.hardware.memories import Storage, ceil_div
from codesign.models import Matrix

WEIGHT_BITS = (8, 4)


class WeightMemory(StrEnum):
    """Where one matrix's weights are read from while the engine runs."""

    BRAM = "bram"  # true ROM, in the bitstream
    URAM = "uram"  # loaded once at start-up where the device cannot initialise URAM
    DDR = "ddr"  # streamed from external memory at every use


@dataclass(frozen=True)
class Accelerator:
    """One design of the engine.

    Attributes:
        rows: R, output features of a block.
        cols: C, input features of a block.
        lanes: L, tokens that pass the array in one cycle.
        weight_bits: 8 or 4.
        dsp_packing: Products that share one DSP: 1, 2, or 4 (int4 only).
        clock_mhz: Clock of the array.
        max_tokens: Longest sequence: tokens that the buffers hold; more are worked off in several passes.
        weight_port_bits: Weight bits that reach the array per cycle from on-chip memory.
        axi_ports: Memory-mapped ports that stream weights from external memory; 0 for none.
        axi_port_bits: Width of one of them.
        stream_bits: Width of the streams of activations in and results out; 0, the default: as wide as a port.
        requant_interval: Q, cycles in which one token group of a block row is requantised. Q > 1 shares one
            requantiser between Q rows. Divides R.
        activation_memory: What the activation and result buffers are made of.
        vector_width: Elements per cycle of the vector unit, a multiple of L; 0: matrices alone.
        sum_memory: What residual sums, scores and results that wait for the stream are kept in; None: the same.
        lut_sums: Whether the gains of residual sums are multiplied in LUTs, to leave DSPs to the array.
    """

    rows: int
    cols: int
    lanes: int
    weight_bits: int
    dsp_packing: int
    clock_mhz: float
    max_tokens: int
    weight_port_bits: int
    axi_ports: int
    axi_port_bits: int
    stream_bits: int = 0
    requant_interval: int = 1
    activation_memory: Storage = Storage.BRAM
    vector_width: int = 0
    sum_memory: Storage | None = None
    lut_sums: bool = False

    def __post_init__(self) -> None:
        for field in ("rows", "cols", "lanes", "max_tokens", "weight_port_bits", "axi_port_bits", "requant_interval"):
            if getattr(self, field) < 1:
                raise self._refusal(field, "a positive integer")
        if not self.clock_mhz > 0:
            raise self._refusal("clock_mhz", "above 0")
        if self.axi_ports < 0 or self.axi_ports & (self.axi_ports - 1):
            raise self._refusal("axi_ports", "0 or a power of two")
        if self.axi_port_bits & (self.axi_port_bits - 1) or self.axi_port_bits < 32:
            raise self._refusal("axi_port_bits", "a power of two from 32 on")
        if not self.stream_bits:
            object.__setattr__(self, "stream_bits", self.axi_port_bits)
        if self.stream_bits & (self.stream_bits - 1) or self.stream_bits < 32:
            raise self._refusal("stream_bits", "a power of two from 32 on")
        if self.weight_bits not in WEIGHT_BITS:
            raise self._refusal("weight_bits", "8 or 4")
        if self.dsp_packing not in packing_choices(self.weight_bits):
            choices = ", ".join(str(choice) for choice in packing_choices(self.weight_bits))
            raise self._refusal("dsp_packing", f"{choices} at int{self.weight_bits}")
        if self.vector_width < 0 or self.vector_width % self.lanes:
            raise self._refusal("vector_width", f"0 or a multiple of {self.lanes} lanes")
        if self.vector_width and self.dsp_packing > 2:
            raise self._refusal("dsp_packing", "1 or 2 beside a vector unit: K and V have eight bits")
        if self.sum_memory and not self.vector_width:
            raise self._refusal("sum_memory", "none without a vector unit")
        if self.lut_sums and not self.vector_width:
            raise self._refusal("lut_sums", "false without a vector unit")
        if self.rows % self.requant_interval:
            raise self._refusal("requant_interval", f"a divisor of {self.rows} rows")

    def _refusal(self, field: str, accepted: str) -> InputError:
        value = getattr(self, field)
        return InputError("not accepted", field=f"accelerator.{field}", value=value, accepted=accepted)

    @property
    def vector_rows(self) -> int:
        """V, features (or keys) of L tokens that the vector unit takes per cycle."""
        return self.vector_width // self.lanes

    def for_matrices(self, tokens: int) -> Accelerator:
        """The same array without a vector unit, for matrices alone on so many tokens."""
        return replace(self, vector_width=0, sum_memory=None, lut_sums=False, max_tokens=tokens)

    @property
    def held_bits(self) -> int:
        """Bits of what is in the array: weights, or K and V too."""
        return 8 if self.vector_width else self.weight_bits

    @property
    def macs_per_cycle(self) -> int:
        """R·C·L."""
        return self.rows * self.cols * self.lanes

    @property
    def block(self) -> tuple[int, int]:
        """(R, C)."""
        return self.rows, self.cols

    @property
    def block_area(self) -> int:
        """R·C, weights of one block."""
        return self.rows * self.cols

    @property
    def block_bits(self) -> int:
        """Bits of one block's weights."""
        return self.block_area * self.weight_bits

    @property
    def shape(self) -> str:
        """R×C×L as text."""
        return f"{self.rows}×{self.cols}×{self.lanes}"


@dataclass(frozen=True)
class SparseMatrix:
    """How many nonzero blocks the block rows of one matrix have: all that cycles and memory depend on.

    Attributes:
        matrix: Name and sides.
        blocks: Block rows × block columns, pruned ones included (sides are padded to whole blocks).
        rows: (nonzero blocks of a block row, block rows that are run and have so many), ascending, no count twice.
        columns: Block columns whose activations are read.
    """

    matrix: Matrix
    blocks: int
    rows: tuple[tuple[int, int], ...]
    columns: int

    @cached_property
    def nonzero_blocks(self) -> int:
        """Blocks that are kept."""
        return sum(blocks * count for blocks, count in self.rows)

    @cached_property
    def block_rows(self) -> int:
        """Block rows that are run."""
        return sum(count for _, count in self.rows)

    @cached_property
    def index_entries(self) -> int:
        """Words of the index image: one per nonzero block, and one per empty block row that is run, for its bias."""
        return sum(max(blocks, 1) * count for blocks, count in self.rows)


def block_grid(matrix: Matrix, rows: int, cols: int) -> tuple[int, int]:
    """(⌈N / R⌉, ⌈K / C⌉): the matrix in whole blocks."""
    return ceil_div(matrix.out_features, rows), ceil_div(matrix.in_features, cols)


def sparse_matrix(
    matrix: Matrix, rows: int, cols: int, blocks_per_row: Iterable[int], run: Iterable[int] | None = None
) -> SparseMatrix:
    """A matrix whose block rows have these many nonzero blocks.

    Args:
        matrix: Name and sides.
        rows: Of a block, R.
        cols: Of a block, C.
        blocks_per_row: Nonzero blocks of every block row.
        run: Block rows that are run; None: all.

    Raises:
        ValueError: Not one count per block row, or a count outside 0 … block columns.
    """
    grid_rows, grid_cols = block_grid(matrix, rows, cols)
    counts = list(blocks_per_row)
    if len(counts) != grid_rows or any(not 0 <= blocks <= grid_cols for blocks in counts):
        raise ValueError(f"{matrix.name}: needs {grid_rows} counts from 0 to {grid_cols}")
    left = counts if run is None else [counts[row] for row in run]
    return SparseMatrix(matrix, grid_rows * grid_cols, _histogram(left), grid_cols)


def _histogram(row_blocks: Iterable[int]) -> tuple[tuple[int, int], ...]:
    return tuple(sorted(Counter(row_blocks).items()))


def spread_evenly(matrix: Matrix, rows: int, cols: int, nonzero_blocks: int) -> SparseMatrix:
    """A matrix whose nonzero blocks are spread over its block rows as evenly as whole blocks allow.

    All block rows count as run: which of them a pruner will empty is not known before.
    """
    grid_rows, grid_cols = block_grid(matrix, rows, cols)
    few, rest = divmod(min(nonzero_blocks, grid_rows * grid_cols), grid_rows)
    histogram = ((few, grid_rows - rest), (few + 1, rest)) if rest else ((few, grid_rows),)
    return SparseMatrix(matrix, grid_rows * grid_cols, histogram, grid_cols)
