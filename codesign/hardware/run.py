"""A whole run of the engine, streams included: what it takes from its start to its last output.

This is what is predicted of a design wherever its cycles, milliseconds or speed-up are shown: of a plan, of a pruned
model, of a design folder. One run takes as many tokens as the buffers hold. Larger batches pass in parts of whole
sentences, a run of all matrices for each. Where not even a sentence fits, there is a run for each matrix and part,
which lasts at least as long as its weights and activations take to cross external memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

from codesign.boards import Board
from codesign.hardware.accelerator import Accelerator, WeightMemory, rows_run
from codesign.hardware.cycles import external_bytes_per_cycle
from codesign.hardware.images import beat_bits, external_beats
from codesign.hardware.predict import Design, predict, sparsify
from codesign.hardware.timeline import LATENCY, ExternalPart, Job, JobTimes, external_memory, streams, timeline
from codesign.models import Matrix
from codesign.numerics import ACTIVATION_BITS


@dataclass(frozen=True)
class RunMatrix:
    """One matrix as the engine runs it.

    Attributes:
        columns: Block columns that it reads.
        row_blocks: Nonzero blocks of each block row that is run, in order.
        memory: Where its weights lie.
        activation: Whether a table follows.
    """

    columns: int
    row_blocks: tuple[int, ...]
    memory: WeightMemory
    activation: bool


@dataclass(frozen=True)
class Prediction:
    """What is predicted of a design.

    Attributes:
        cycles: From the start to the last output, of all tokens of the batch.
        dense_cycles: The same of the model with nothing pruned, on the same array.
        clock_mhz: Of the array.
    """

    cycles: int
    dense_cycles: int
    clock_mhz: float

    @property
    def latency_ms(self) -> float:
        """``cycles`` in milliseconds."""
        return self.cycles / self.clock_mhz / 1000

    @property
    def dense_ms(self) -> float:
        """``dense_cycles`` in milliseconds."""
        return self.dense_cycles / self.clock_mhz / 1000

    @property
    def speedup(self) -> float:
        """Over the dense model."""
        return self.dense_cycles / self.cycles


def pruned(mask: NDArray[np.bool_], memory: WeightMemory, *, activation: bool) -> RunMatrix:
    """A matrix as a pruner left it.

    Args:
        mask: Which blocks are kept, block rows × block columns.
        memory: Where its weights lie.
        activation: Whether a table follows.
    """
    columns, rows = rows_run(mask)
    return RunMatrix(columns, tuple(rows), memory, activation)


def evenly(design: Design) -> list[RunMatrix]:
    """The matrices of a design whose masks do not exist yet: block rows with fewer blocks first."""
    return [
        RunMatrix(
            sparse.columns,
            tuple(blocks for blocks, count in sparse.rows for _ in range(count)),
            layer.weight_memory,
            layer.activation,
        )
        for sparse, layer in zip(design.sparse, design.layers, strict=True)
    ]


def jobs(accelerator: Accelerator, matrices: Iterable[RunMatrix]) -> Iterator[Job]:
    """Matrices of a run; those in external memory lie there one after another."""
    base = 0
    for matrix in matrices:
        rows, external = matrix.row_blocks, None
        if matrix.memory is WeightMemory.DDR:
            weights, index, channels = _external_beats(accelerator, matrix)
            external = ExternalPart(base, index + channels, base + index + channels, weights)
            base += index + channels + weights
        yield Job(matrix.columns, rows, external)


def _external_beats(accelerator: Accelerator, matrix: RunMatrix) -> tuple[int, int, int]:
    rows = matrix.row_blocks
    return external_beats(accelerator, sum(rows), sum(max(blocks, 1) for blocks in rows), len(rows))


def run_times(
    accelerator: Accelerator,
    board: Board,
    matrices: Sequence[RunMatrix],
    tokens: int,
    latency: int = LATENCY,
) -> list[JobTimes]:
    """The times of every matrix of one run, one after another.

    Args:
        accelerator: The array.
        board: With its external memory.
        matrices: In order.
        tokens: Of every matrix, at most ``max_tokens``.
        latency: Of external memory, in cycles.
    """
    return _times(accelerator, board, matrices, matrices, tokens, latency)


def _times(
    accelerator: Accelerator,
    board: Board,
    design: Sequence[RunMatrix],
    matrices: Sequence[RunMatrix],
    tokens: int,
    latency: int,
) -> list[JobTimes]:
    """Of a run of some of the matrices that a design has."""
    return timeline(
        accelerator,
        board.device.dsp_type,
        streams(accelerator, max(len(matrix.row_blocks) for matrix in design)),
        list(jobs(accelerator, matrices)),
        tokens,
        tables=any(matrix.activation for matrix in design),
        memory=external_memory(accelerator, board, latency),
    )


def run_cycles(
    accelerator: Accelerator,
    board: Board,
    matrices: Sequence[RunMatrix],
    tokens: int,
    sentence: int | None = None,
    latency: int = LATENCY,
) -> int:
    """Cycles from start to last output, of all parts where the tokens do not pass in one run.

    Args:
        accelerator: The array.
        board: With its external memory.
        matrices: In the order of use.
        tokens: Of the batch.
        sentence: Tokens that attention needs together. Default: all.
        latency: Of external memory, in cycles.
    """
    full, rest = divmod(tokens, accelerator.max_tokens)
    parts = [(count, size) for count, size in ((full, accelerator.max_tokens), (1, rest)) if count and size]

    def run(some: Sequence[RunMatrix], size: int) -> int:
        return _times(accelerator, board, matrices, some, size, latency)[-1].sent

    if accelerator.max_tokens >= min(sentence or tokens, tokens):
        return sum(count * run(matrices, size) for count, size in parts)

    @cache  # encoders repeat a few shapes
    def alone(matrix: RunMatrix, size: int) -> int:
        return max(run([matrix], size), _crossing(accelerator, board, matrix, size))

    return sum(count * alone(matrix, size) for matrix in matrices for count, size in parts)


def _crossing(accelerator: Accelerator, board: Board, matrix: RunMatrix, tokens: int) -> int:
    """Cycles in which a matrix's weights and its activations, in and out, cross external memory."""
    features = matrix.columns * accelerator.cols + len(matrix.row_blocks) * accelerator.rows
    bits = features * tokens * ACTIVATION_BITS
    if matrix.memory is WeightMemory.DDR:
        bits += sum(_external_beats(accelerator, matrix)) * beat_bits(accelerator)
    rate = external_bytes_per_cycle(accelerator, board.read_bytes_per_second)
    return ceil(bits / (8 * rate)) if rate else 0


def dense_run_cycles(
    accelerator: Accelerator,
    board: Board,
    matrices: Sequence[Matrix],
    tokens: int,
    sentence: int | None = None,
    latency: int = LATENCY,
) -> int:
    """Cycles from start to last output with nothing pruned, on the same array, weights placed as they then fit.

    Args:
        accelerator: The array.
        board: The board.
        matrices: In the order of use.
        tokens: Of the batch.
        sentence: Tokens that attention needs together. Default: all.
        latency: Of external memory, in cycles.
    """
    dense = predict(accelerator, board, sparsify(accelerator, matrices, 1.0), tokens, sentence)
    return run_cycles(accelerator, board, evenly(dense), tokens, sentence, latency)
