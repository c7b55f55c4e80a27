"""What the hardware model says of one design: cycles, resources, where weights lie, what bounds each matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property

from codesign.boards import Board
from codesign.hardware.accelerator import Accelerator, SparseMatrix, WeightMemory, block_grid, spread_evenly
from codesign.hardware.arrays import EncoderSizes
from codesign.hardware.cycles import matrix_cycles, one_pass
from codesign.hardware.memories import ceil_div
from codesign.hardware.placement import place
from codesign.hardware.resources import (
    RESOURCES,
    Placed,
    Resources,
    fixed_resources,
    merged,
    total,
    usable_resources,
    weight_resources,
)
from codesign.models import Matrix


@dataclass(frozen=True)
class LayerPlan:
    """One matrix in a plan.

    ``predicted_cycles`` are those in the array, from its activations' presence to its last result.
    ``bound`` says what its cycles are spent on: ``compute``, ``weight bandwidth`` or ``requantisation``.
    ``macs_per_byte`` is its place on the roofline: executed multiply-accumulates per byte of external memory, None
    where nothing is read from there. ``activation`` says whether one follows, by table.
    """

    name: str
    out_features: int
    in_features: int
    blocks: int
    nonzero_blocks: int
    predicted_cycles: int
    weight_memory: WeightMemory
    bound: str
    macs_per_byte: float | None
    activation: bool


@dataclass(frozen=True)
class Run:
    """What is predicted of ``placed.count`` matrices alike in the same memory, each."""

    placed: Placed
    cycles: int
    bound: str
    macs_per_byte: float | None


@dataclass(frozen=True)
class Beside:
    """What an encoder has beside its weight matrices (``codesign.program.estimate`` works it out).

    Attributes:
        sizes: Of its memories and its program.
        cycles: Of a sentence, about: attention, LayerNorms, loading.
    """

    sizes: EncoderSizes
    cycles: int


@dataclass(frozen=True)
class Design:
    """One array with the matrices it runs, fully predicted.

    Attributes:
        accelerator: The design.
        runs: The prediction, by matrices alike.
        sparse: The matrices in the order of use.
        parts: Resources by unit.
        beside_cycles: Of what an encoder does beside its matrices, of all tokens; 0 for matrices alone.
    """

    accelerator: Accelerator
    runs: tuple[Run, ...]
    sparse: tuple[SparseMatrix, ...]
    parts: dict[str, Resources]
    beside_cycles: int

    @cached_property
    def resources(self) -> Resources:
        """What the design takes of the device."""
        return total(self.parts)

    @cached_property
    def array_cycles(self) -> int:
        """Cycles of all matrices in the array, one after another."""
        return sum(run.cycles * run.placed.count for run in self.runs)

    @property
    def estimated_cycles(self) -> int:
        """Cycles of everything, one after another: what designs are compared by.

        A closed form, worked out for thousands of designs; ``codesign.program.sentence`` has the exact number.
        """
        return self.array_cycles + self.beside_cycles

    @property
    def estimated_ms(self) -> float:
        """``estimated_cycles`` in milliseconds."""
        return self.estimated_cycles / self.accelerator.clock_mhz / 1000

    @property
    def on_chip(self) -> bool:
        """Whether no weights are in external memory."""
        return not self.streamed

    @cached_property
    def streamed(self) -> int:
        """Matrices whose weights are in external memory."""
        return sum(run.placed.count for run in self.runs if run.placed.memory is WeightMemory.DDR)

    @cached_property
    def blocks(self) -> int:
        """All blocks of all matrices, pruned ones included."""
        return sum(r.placed.sparse.blocks * r.placed.count for r in self.runs)

    @cached_property
    def nonzero_blocks(self) -> int:
        """Blocks that are kept."""
        return sum(r.placed.sparse.nonzero_blocks * r.placed.count for r in self.runs)

    @property
    def density(self) -> float:
        """Kept blocks over all blocks; compression is its inverse."""
        return self.nonzero_blocks / self.blocks

    @cached_property
    def layers(self) -> tuple[LayerPlan, ...]:
        """The prediction matrix by matrix, in the order of use."""
        waiting: dict[object, list[Run]] = {}
        for run in self.runs:
            waiting.setdefault(_alike(run.placed.sparse), []).extend([run] * run.placed.count)
        layers = []
        for s in self.sparse:
            run = waiting[_alike(s)].pop(0)
            layers.append(
                LayerPlan(
                    name=s.matrix.name,
                    out_features=s.matrix.out_features,
                    in_features=s.matrix.in_features,
                    blocks=s.blocks,
                    nonzero_blocks=s.nonzero_blocks,
                    predicted_cycles=run.cycles,
                    weight_memory=run.placed.memory,
                    bound=run.bound,
                    macs_per_byte=run.macs_per_byte,
                    activation=s.matrix.activation,
                )
            )
        return tuple(layers)


def sparsify(accelerator: Accelerator, matrices: Iterable[Matrix], density: float) -> tuple[SparseMatrix, ...]:
    """Every matrix at the same density, blocks spread evenly over block rows, at least one block each."""
    rows, cols = accelerator.block
    return tuple(
        replace(_even_blocks(matrix.out_features, matrix.in_features, rows, cols, density), matrix=matrix)
        for matrix in matrices
    )


@cache  # encoders repeat a few shapes, and a search asks for each many times
def _even_blocks(out_features: int, in_features: int, rows: int, cols: int, density: float) -> SparseMatrix:
    matrix = Matrix("", out_features, in_features)
    grid_rows, grid_cols = block_grid(matrix, rows, cols)
    return spread_evenly(matrix, rows, cols, max(1, int(grid_rows * grid_cols * density + 1e-9)))


def _alike(sparse: SparseMatrix) -> tuple[object, ...]:
    """What two matrices must share to cost the same."""
    return sparse.matrix.out_features, sparse.matrix.in_features, sparse.rows, sparse.columns


def predict(
    accelerator: Accelerator,
    board: Board,
    sparse: Sequence[SparseMatrix],
    tokens: int,
    beside: Beside | None = None,
) -> Design:
    """Everything that the hardware model says of a design, whether it fits the board or not.

    Args:
        accelerator: The design.
        board: The board it is for.
        sparse: The matrices with their nonzero blocks.
        tokens: M, tokens that pass each matrix (sentence length × batch).
        beside: What an encoder has beside them; None for matrices alone.
    """
    dsp_type = board.device.dsp_type
    rate = board.read_bytes_per_second
    encoder = beside.sizes if beside else None

    # Encoders repeat a few shapes: each is placed and worked out once.
    first: dict[object, SparseMatrix] = {}
    counts: Counter[object] = Counter()
    for s in sparse:
        first.setdefault(_alike(s), s)
        counts[_alike(s)] += 1
    alike = [(s, counts[key]) for key, s in first.items()]

    tables = sum(s.matrix.activation for s in sparse)
    parts = fixed_resources(accelerator, dsp_type, [s for s, _ in alike], tables, encoder)
    placed = place(accelerator, dsp_type, alike, total(parts), usable_resources(board), encoder)
    parts = merged(parts, weight_resources(accelerator, dsp_type, placed, encoder))
    runs = tuple(
        Run(
            p,
            matrix_cycles(accelerator, dsp_type, p.sparse, tokens, p.memory, rate),
            *roofline(accelerator, p.sparse, tokens, p.memory, rate),
        )
        for p in placed
    )
    cycles = beside.cycles * ceil_div(tokens, accelerator.max_tokens) if beside else 0
    return Design(accelerator, runs, tuple(sparse), parts, cycles)


def roofline(
    accelerator: Accelerator,
    sparse: SparseMatrix,
    tokens: int,
    memory: WeightMemory,
    bytes_per_second: float,
) -> tuple[str, float | None]:
    """(what bounds the matrix, executed multiply-accumulates per byte of external memory).

    Args:
        accelerator: The design.
        sparse: The matrix.
        tokens: M.
        memory: Where its weights lie.
        bytes_per_second: Of external memory.
    """
    tile = min(tokens, accelerator.max_tokens)
    work = one_pass(accelerator, sparse, tile, memory, bytes_per_second)
    if work.crossing > work.summing or work.fetch > work.groups:
        bound = "weight bandwidth"
    elif work.summing > sparse.nonzero_blocks * work.groups:
        bound = "requantisation"
    else:
        bound = "compute"
    macs = sparse.nonzero_blocks * accelerator.block_area * tile
    return bound, macs / work.weight_bytes if work.weight_bytes else None


def tightest(resources: Resources, board: Board) -> tuple[str, float]:
    """The resource that binds a design, of which it takes the largest part of the usable amount, and that part."""
    limit = usable_resources(board)
    parts = {name: getattr(resources, name) / max(getattr(limit, name), 1) for name in RESOURCES}
    name = max(parts, key=lambda key: parts[key])
    return name, parts[name]
