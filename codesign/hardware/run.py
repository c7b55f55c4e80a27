"""A whole run of the engine, streams included: what it takes from its start to its last output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from codesign.boards import Board
from codesign.hardware.accelerator import Accelerator, SparseMatrix, WeightMemory
from codesign.hardware.images import external_beats
from codesign.hardware.predict import predict, sparsify
from codesign.hardware.timeline import LATENCY, ExternalPart, Job, JobTimes, external_memory, streams, timeline
from codesign.models import Matrix


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
    row_blocks: Sequence[int]
    memory: WeightMemory
    activation: bool


def jobs(accelerator: Accelerator, matrices: Iterable[RunMatrix]) -> Iterator[Job]:
    """Matrices of a run; those in external memory lie there one after another."""
    base = 0
    for matrix in matrices:
        rows, external = matrix.row_blocks, None
        if matrix.memory is WeightMemory.DDR:
            entries = sum(max(blocks, 1) for blocks in rows)
            weights, index, channels = external_beats(accelerator, sum(rows), entries, len(rows))
            external = ExternalPart(base, index + channels, base + index + channels, weights)
            base += index + channels + weights
        yield Job(matrix.columns, tuple(rows), external)


def run_times(
    accelerator: Accelerator,
    board: Board,
    matrices: Sequence[RunMatrix],
    tokens: int,
    latency: int = LATENCY,
) -> list[JobTimes]:
    """The times of every matrix, one after another.

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
    )


def dense_run_cycles(
    accelerator: Accelerator, board: Board, matrices: Sequence[Matrix], tokens: int, latency: int = LATENCY
) -> int:
    """Cycles from start to last output with nothing pruned, on the same array, weights placed as they then fit.

    Args:
        accelerator: The array.
        board: The board.
        matrices: In the order of use.
        tokens: Of every matrix, at most ``max_tokens``.
        latency: Of external memory, in cycles.
    """
    dense = sparsify(accelerator, matrices, 1.0)
    placed = predict(accelerator, board, dense, tokens).layers
    whole = [
        RunMatrix(sparse.columns, _all_rows(sparse), layer.weight_memory, matrix.activation)
        for matrix, sparse, layer in zip(matrices, dense, placed, strict=True)
    ]
    return run_times(accelerator, board, whole, tokens, latency)[-1].sent


def _all_rows(dense: SparseMatrix) -> Sequence[int]:
    ((blocks, count),) = dense.rows
    return [blocks] * count
