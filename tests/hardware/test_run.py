"""Runs of matrices alone, worked out here from the event model's own jobs."""

from __future__ import annotations

from dataclasses import replace

from codesign.boards import Board, load_board
from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.hardware.run import RunMatrix, dense_run_cycles, jobs, run_times
from codesign.hardware.timeline import ExternalMemory, Job, Streams, timeline
from codesign.models import Matrix
from tests.hardware.test_cycles import EXAMPLE


def on_chip(board: Board, a: Accelerator, rows: list[tuple[int, tuple[int, ...]]], tokens: int) -> int:
    """Cycles of one run, from (block columns, blocks of each row) of its matrices."""
    groups = -(-a.max_tokens // a.lanes)
    streams = Streams(
        -(-a.cols * a.lanes * 8 // a.stream_bits),
        -(-a.rows // a.requant_interval * a.lanes * 8 // a.stream_bits),
        2 * max(len(blocks) for _, blocks in rows) * groups * a.requant_interval,
    )
    jobs = [Job(columns, blocks) for columns, blocks in rows]
    return timeline(a, board.device.dsp_type, streams, jobs, tokens).times[-1].sent


def test_a_run_of_matrices_alone() -> None:
    board, a = load_board("zcu104"), replace(EXAMPLE, max_tokens=80)
    matrices = [RunMatrix(3, (2, 3, 1), WeightMemory.BRAM, True), RunMatrix(3, (1, 0), WeightMemory.URAM, False)]
    times = run_times(a, board, matrices, 80)
    assert times[-1].sent == on_chip(board, a, [(3, (2, 3, 1)), (3, (1, 0))], 80)
    dense = dense_run_cycles(a, board, [Matrix("m", 48, 48, True), Matrix("n", 32, 48)], 80)
    assert dense == on_chip(board, a, [(3, (3, 3, 3)), (3, (3, 3))], 80)


def test_blocks_of_more_words_than_may_be_on_their_way() -> None:
    """A block of 1,024 beats: fetched part by part, at the memory's rate, while up to 512 beats are on their way."""
    a = replace(EXAMPLE, rows=64, cols=64, weight_port_bits=32, axi_port_bits=32, axi_ports=1, requant_interval=1)
    matrix = RunMatrix(1, (1,), WeightMemory.DDR, False)
    (job,) = jobs(a, [matrix])
    assert job.external is not None
    assert job.external.weight_beats == 1024
    streams = Streams(1, 1, 2 * 128)
    board = load_board("zcu104")
    for latency in (1, 40):
        (times,) = timeline(
            a, board.device.dsp_type, streams, [job], 4, tables=False, memory=ExternalMemory(latency)
        ).times
        # No beat before its request and latency, no more than one per cycle.
        assert times.begun >= job.external.constants_beats + 1024 + latency
        # Bursts follow each other closely: hardly more than that.
        assert times.begun <= job.external.constants_beats + 1024 + 8 * (latency + 8)
