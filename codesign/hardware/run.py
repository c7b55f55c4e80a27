"""Matrices as the engine runs them, and runs of matrices alone, streams included.

What is predicted of an encoder wherever its cycles, milliseconds or speed-up are shown is a whole sentence
(``codesign.program.sentence``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.boards import Board
from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.hardware.images import external_beats
from codesign.hardware.predict import Design, predict, sparsify
from codesign.hardware.timeline import LATENCY, ExternalPart, Job, JobTimes, external_memory, streams, timeline
from codesign.models import Matrix


@dataclass(frozen=True)
class RunMatrix:
    """One matrix as the engine runs it.

    Attributes:
        columns: Block columns that it reads.
        row_blocks: Nonzero blocks of each block row, in order.
        memory: Where its weights lie.
        activation: Whether a table follows.
        unread: Block columns without a block, ascending.
    """

    columns: int
    row_blocks: tuple[int, ...]
    memory: WeightMemory
    activation: bool
    unread: tuple[int, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """What is predicted of a design.

    Attributes:
        cycles: From the start to the last output, of all sentences of the batch.
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
    unread = tuple(np.flatnonzero(~mask.any(axis=0)).tolist())
    return RunMatrix(mask.shape[1], tuple(mask.sum(axis=1).tolist()), memory, activation, unread)


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


def jobs(accelerator: Accelerator, matrices: Iterable[RunMatrix], place_bits: int = 0) -> Iterator[Job]:
    """Matrices of a run; those in external memory lie there one after another.

    Args:
        accelerator: The array.
        matrices: In order.
        place_bits: Beside the constants of a word of channels: where its results go, in an encoder.
    """
    base = 0
    for matrix in matrices:
        rows, external = matrix.row_blocks, None
        if matrix.memory is WeightMemory.DDR:
            entries = sum(max(blocks, 1) for blocks in rows)
            weights, index, channels = external_beats(accelerator, sum(rows), entries, len(rows), place_bits)
            external = ExternalPart(base, index + channels, base + index + channels, weights)
            base += index + channels + weights
        yield Job(matrix.columns, rows, external)


def run_times(
    accelerator: Accelerator,
    board: Board,
    matrices: Sequence[RunMatrix],
    tokens: int,
    latency: int = LATENCY,
) -> list[JobTimes]:
    """The times of every matrix of one run of matrices alone, one after another.

    Args:
        accelerator: The array.
        board: With its external memory.
        matrices: In order.
        tokens: Of every matrix, at most ``max_tokens``.
        latency: Of external memory, in cycles.
    """
    return timeline(
        accelerator,
        board.device.dsp_type,
        streams(accelerator, max(len(matrix.row_blocks) for matrix in matrices)),
        list(jobs(accelerator, matrices)),
        tokens,
        tables=any(matrix.activation for matrix in matrices),
        memory=external_memory(accelerator, board, latency),
    ).times


def dense_run_cycles(
    accelerator: Accelerator, board: Board, matrices: Sequence[Matrix], tokens: int, latency: int = LATENCY
) -> int:
    """The same with nothing pruned, on the same array, weights placed as they then fit: from start to last output."""
    dense = predict(accelerator, board, sparsify(accelerator, matrices, 1.0), tokens)
    return run_times(accelerator, board, evenly(dense), tokens, latency)[-1].sent
