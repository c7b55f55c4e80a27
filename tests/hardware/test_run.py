"""Whole runs: what is predicted of plans and designs, worked out here from the event model's own jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction

import pytest

from codesign.boards import Board, load_board
from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.hardware.run import RunMatrix, dense_run_cycles, jobs, run_cycles
from codesign.hardware.timeline import ExternalMemory, Job, Streams, timeline
from codesign.models import EncoderShape
from codesign.planning.plan import make_plan
from codesign.planning.work import Budget, BudgetKind, Work
from tests.conftest import changed
from tests.hardware.test_cycles import EXAMPLE

TINY = EncoderShape("tiny", "bert", hidden=48, layers=1, ffn=96, heads=2)


def on_chip(board: Board, a: Accelerator, rows: list[tuple[int, tuple[int, ...]]], tokens: int) -> int:
    """Cycles of one run, from (block columns, blocks of each row) of its matrices."""
    groups = -(-a.max_tokens // a.lanes)
    streams = Streams(
        -(-a.cols * a.lanes * 8 // a.stream_bits),
        -(-a.rows // a.requant_interval * a.lanes * 8 // a.stream_bits),
        2 * max(len(blocks) for _, blocks in rows) * groups * a.requant_interval,
    )
    jobs = [Job(columns, blocks) for columns, blocks in rows]
    return timeline(a, board.device.dsp_type, streams, jobs, tokens)[-1].sent


def tiny_rows(a: Accelerator, density: float) -> list[tuple[int, tuple[int, ...]]]:
    """The six matrices of ``TINY``, blocks spread as evenly as whole blocks allow."""
    found = []
    for out_features, in_features in (*[(48, 48)] * 4, (96, 48), (48, 96)):
        rows, columns = -(-out_features // a.rows), -(-in_features // a.cols)
        kept = max(1, int(rows * columns * density))
        found.append((columns, tuple(sorted(kept // rows + (i < kept % rows) for i in range(rows)))))
    return found


@pytest.mark.parametrize("compression", [None, 2.0])
def test_a_plan_is_predicted_by_its_whole_run(compression: float | None) -> None:
    board = load_board("zcu104")
    budget = Budget() if compression is None else Budget(BudgetKind.COMPRESSION, compression)
    plan = make_plan(board, Work(TINY, tokens=40), budget)
    a = plan.chosen.accelerator
    assert all(layer.weight_memory is WeightMemory.BRAM for layer in plan.chosen.layers)
    dense = on_chip(board, a, tiny_rows(a, 1.0), 40)
    assert plan.predicted.dense_cycles == dense
    assert plan.predicted.cycles == on_chip(board, a, tiny_rows(a, 1 / (compression or 1.0)), 40)
    assert dense == dense_run_cycles(a, board, plan.work.matrices, 40)
    assert plan.predicted.latency_ms == plan.predicted.cycles / a.clock_mhz / 1000
    assert plan.predicted.speedup == dense / plan.predicted.cycles


def test_a_batch_that_the_buffers_do_not_hold_passes_in_runs_of_whole_sentences() -> None:
    board, a = load_board("zcu104"), replace(EXAMPLE, max_tokens=80)
    matrices = [RunMatrix(3, (2, 3, 1), WeightMemory.BRAM, True), RunMatrix(3, (1, 1), WeightMemory.URAM, False)]
    rows = [(3, (2, 3, 1)), (3, (1, 1))]
    # Five sentences of 40 tokens: two, two, one.
    wanted = 2 * on_chip(board, a, rows, 80) + on_chip(board, a, rows, 40)
    assert run_cycles(a, board, matrices, 200, 40) == wanted
    assert run_cycles(a, board, matrices, 80, 40) == on_chip(board, a, rows, 80)


def test_a_sentence_that_the_buffers_do_not_hold_passes_matrix_by_matrix() -> None:
    board, a = load_board("zcu104"), replace(EXAMPLE, max_tokens=32)
    matrices = [RunMatrix(3, (2, 3, 1), WeightMemory.BRAM, True), RunMatrix(3, (1, 1), WeightMemory.URAM, False)]

    def alone(blocks: tuple[int, ...], tokens: int) -> int:
        # Beside a larger one, whose room for results is there for both.
        groups = -(-a.max_tokens // a.lanes)
        streams = Streams(
            -(-a.cols * a.lanes * 8 // a.stream_bits),
            -(-a.rows // a.requant_interval * a.lanes * 8 // a.stream_bits),
            2 * 3 * groups * a.requant_interval,
        )
        return timeline(a, board.device.dsp_type, streams, [Job(3, blocks)], tokens)[-1].sent

    # 80 tokens: 32, 32, 16.
    wanted = sum(2 * alone(blocks, 32) + alone(blocks, 16) for blocks in ((2, 3, 1), (1, 1)))
    assert run_cycles(a, board, matrices, 80) == wanted
    # So slow a memory that what crosses decides: features in and out, a byte each (weights are on chip).
    slow = changed("zcu104", memories__gb_per_s=0.001)
    rate = Fraction(slow.read_bytes_per_second) / (Fraction(a.clock_mhz) * 10**6)
    features = [3 * a.cols + 3 * a.rows, 3 * a.cols + 2 * a.rows]
    crossing = [2 * -(-count * 32 // rate) + -(-count * 16 // rate) for count in features]
    assert run_cycles(a, slow, matrices, 80) == pytest.approx(sum(crossing), rel=1e-3)


def test_a_latency_is_met_by_what_is_printed() -> None:
    # So few blocks are left that the run waits for its streams: the array alone would be through long before.
    work = Work(EncoderShape("s", "bert", 128, 2, 512, 2), block=(12, 4))
    plan = make_plan(load_board("zcu104"), work, Budget(BudgetKind.LATENCY, 0.0225))
    assert plan.chosen.array_ms < 0.8 * 0.0225
    assert 0.99 * 0.0225 < plan.predicted.latency_ms <= 0.0225


def test_what_is_going_on_is_shown_and_changes_nothing() -> None:
    told: list[tuple[str, int, int]] = []

    def shown(text: str) -> Callable[[Iterator[object], int], Iterator[object]]:
        def passing(items: Iterator[object], count: int) -> Iterator[object]:
            told.append((text, count, 0))
            for number, item in enumerate(items, 1):
                told[-1] = (text, count, number)
                yield item

        return passing

    board, work, budget = load_board("zcu104"), Work(TINY, tokens=20), Budget(BudgetKind.ON_CHIP)
    assert make_plan(board, work, budget, shown) == make_plan(board, work, budget)
    assert [text for text, *_ in told] == [
        "the highest density",
        "the fastest arrays",
        "other block shapes",
        "smaller arrays",
        "whole runs",
    ]
    assert all(passed <= count for _, count, passed in told)
    assert all(passed == count for _, count, passed in told[1:])


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
        (times,) = timeline(a, board.device.dsp_type, streams, [job], 4, tables=False, memory=ExternalMemory(latency))
        # No beat before its request and latency, no more than one per cycle.
        assert times.begun >= job.external.constants_beats + 1024 + latency
        # Bursts follow each other closely: hardly more than that.
        assert times.begun <= job.external.constants_beats + 1024 + 8 * (latency + 8)
