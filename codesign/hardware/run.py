"""A whole run of the engine, streams included: what it takes from its start to its last output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from codesign.boards import Board
from codesign.hardware.accelerator import Accelerator, SparseMatrix, WeightMemory, block_grid, rows_to_run
from codesign.hardware.images import external_beats
from codesign.hardware.predict import predict, sparsify
from codesign.hardware.timeline import LATENCY, ExternalPart, Job, JobTimes, external_memory, streams, timeline
from codesign.models import Matrix

RowBlocks = Sequence[int]
"""Nonzero blocks of each block row, in order."""


def jobs(accelerator: Accelerator, matrices: Iterable[tuple[Matrix, RowBlocks, WeightMemory]]) -> Iterator[Job]:
    """Matrices as the engine runs them; those in external memory lie there one after another."""
    base = 0
    for matrix, row_blocks, memory in matrices:
        _, columns = block_grid(matrix, accelerator.rows, accelerator.cols)
        row_blocks = rows_to_run(row_blocks)
        external = None
        if memory is WeightMemory.DDR:
            entries = sum(max(blocks, 1) for blocks in row_blocks)
            weights, index, channels = external_beats(accelerator, sum(row_blocks), entries, len(row_blocks))
            external = ExternalPart(base, index + channels, base + index + channels, weights)
            base += index + channels + weights
        yield Job(columns, tuple(row_blocks), external)


def run_times(
    accelerator: Accelerator,
    board: Board,
    matrices: Sequence[tuple[Matrix, RowBlocks, WeightMemory]],
    tokens: int,
    latency: int = LATENCY,
) -> list[JobTimes]:
    """The times of every matrix, one after another.

    Args:
        accelerator: The array.
        board: With its external memory.
        matrices: With the nonzero blocks of each block row and where the weights lie.
        tokens: Of every matrix, at most ``max_tokens``.
        latency: Of external memory, in cycles.
    """
    return timeline(
        accelerator,
        board.device.dsp_type,
        streams(accelerator, max(len(row_blocks) for _, row_blocks, _ in matrices)),
        list(jobs(accelerator, matrices)),
        tokens,
        tables=any(matrix.activation for matrix, _, _ in matrices),
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
        (matrix, _all_rows(sparse), layer.weight_memory)
        for matrix, sparse, layer in zip(matrices, dense, placed, strict=True)
    ]
    return run_times(accelerator, board, whole, tokens, latency)[-1].sent


def _all_rows(dense: SparseMatrix) -> RowBlocks:
    ((blocks, count),) = dense.rows
    return [blocks] * count
