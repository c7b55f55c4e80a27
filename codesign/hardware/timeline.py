"""A run of the engine, event by event: when activations are in, when the array is busy, when the last result leaves.

Cycle 0 is the one in which the run starts. Streams never wait on the other side: beats come and go in every cycle
that the engine is ready for them. The rules are those of hls_templates/rtl: two activation buffers, an index reader
at most eight entries ahead of the array, a fetcher one block ahead, results that wait for the stream in a queue of
which every block row reserves its part when it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.boards import DspType
from codesign.hardware.accelerator import Accelerator
from codesign.hardware.cycles import array_stages, requantise_stages, token_groups
from codesign.hardware.memories import ceil_div
from codesign.numerics import ACTIVATION_BITS

INDEX_QUEUE = 8
"""Index entries that may be read ahead of the array."""
JOB_QUEUE = 4
"""Matrices that may have been accepted and not begun."""
_INDEX_READ = 3  # from an entry's address to its place in the queue
_LOADED = 2  # from a job's last beat to its activations' presence
_STORE = 3  # from a result's writing to its first beat


@dataclass(frozen=True)
class Job:
    """One matrix of a run.

    Attributes:
        columns: Block columns.
        row_blocks: Nonzero blocks of each block row.
    """

    columns: int
    row_blocks: tuple[int, ...]


@dataclass(frozen=True)
class JobTimes:
    """Cycles at which a job's phases begin or end.

    Attributes:
        loaded: Its activations are there.
        begun: The array takes its first entry.
        summed: The last cycle of its last block row in the array.
        written: Its last result is written to the queue.
        sent: Its last beat leaves.
    """

    loaded: int
    begun: int
    summed: int
    written: int
    sent: int


@dataclass(frozen=True)
class Streams:
    """The engine's two streams.

    Attributes:
        activation_beats: Beats of a word of C × L activations.
        result_beats: Beats of a word of R/Q × L results.
        result_words: Words that wait for the stream out, the most.
    """

    activation_beats: int
    result_beats: int
    result_words: int


def streams(accelerator: Accelerator, block_rows: int) -> Streams:
    """The streams of a design.

    Args:
        accelerator: The array.
        block_rows: Of the matrix with the most.
    """
    a = accelerator
    width = a.axi_port_bits
    groups = token_groups(a, a.max_tokens)
    return Streams(
        ceil_div(a.cols * a.lanes * ACTIVATION_BITS, width),
        ceil_div(a.rows // a.requant_interval * a.lanes * ACTIVATION_BITS, width),
        # Ping and pong.
        2 * block_rows * groups * a.requant_interval,
    )


def timeline(
    accelerator: Accelerator,
    dsp_type: DspType,
    streams: Streams,
    jobs: Sequence[Job],
    tokens: int,
    *,
    tables: bool = True,
) -> list[JobTimes]:
    """The times of every job of a run whose weights are on chip.

    Args:
        accelerator: The array.
        dsp_type: Of the device.
        streams: Widths and room.
        jobs: In order, repeats included.
        tokens: Of every job, at most ``max_tokens``.
        tables: Whether the design has activations by table.
    """
    groups = token_groups(accelerator, tokens)
    fetch = ceil_div(accelerator.block_bits, accelerator.weight_port_bits)
    slot = max(groups, fetch)
    row_words = groups * accelerator.requant_interval
    to_result = 1 + array_stages(accelerator, dsp_type) + requantise_stages(tables)

    times: list[JobTimes] = []
    taken: list[int] = []  # every entry's first cycle in the array is the one after
    sent: list[NDArray[np.int64]] = []  # per block row, the cycle of every result word's last beat
    last_beat = read = last_block = finished = 0
    for number, job in enumerate(jobs):
        # A buffer is free again when the job before the last is through.
        free = times[number - 2].summed if number >= 2 else 0
        last_beat = max(last_beat, free) + job.columns * groups * streams.activation_beats
        loaded = last_beat + _LOADED

        # The index reader takes a job in the cycle of the last entry of the one before.
        room = times[number - JOB_QUEUE].begun + 1 if number >= JOB_QUEUE else 1
        read = max(read, room)
        begun = 0
        for blocks in job.row_blocks:
            row_begun = 0
            for _ in range(max(blocks, 1)):
                entry = len(taken)
                read = max(read + 1, taken[entry - INDEX_QUEUE] + 1 if entry >= INDEX_QUEUE else 0)
                head = read + _INDEX_READ
                now = max(head, finished)
                if blocks:
                    # Its weights are fetched from when the block before it enters the array.
                    now = max(now, max(head, last_block) + fetch)
                if not begun:
                    now = begun = max(now, loaded)
                if blocks:
                    last_block = now
                row_begun = row_begun or now
                taken.append(now)
                finished = now + (slot if blocks else 1)
            finished = max(finished, row_begun + row_words)
            # Room for the row's words: all but RESULT_WORDS of those before have left.
            leaving = (len(sent) + 1) * row_words - streams.result_words
            if leaving > 0:
                row, word = divmod(leaving - 1, row_words)
                finished = max(finished, int(sent[row][word]) + 1)
            written = finished + to_result + np.arange(row_words)
            before = int(sent[-1][-1]) if sent else 0
            sent.append(_send(written + _STORE, before, streams.result_beats))
        times.append(JobTimes(loaded, begun, finished, int(written[-1]), int(sent[-1][-1])))
    return times


def _send(ready: NDArray[np.int64], before: int, beats: int) -> NDArray[np.int64]:
    """The cycle of each word's last beat: words follow each other, each no earlier than it is ready."""
    # sent[i] = max(sent[i − 1] + 1, ready[i]) + beats − 1, unrolled to a running maximum.
    step = beats * np.arange(len(ready))
    first = np.maximum.accumulate(np.maximum(ready - step, before + 1))
    return np.asarray(first + step + beats - 1, np.int64)
