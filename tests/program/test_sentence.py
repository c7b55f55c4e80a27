"""Whole sentences: what is predicted of plans, worked out here from the blocks of every row."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from codesign.boards import load_board
from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.models import EncoderShape
from codesign.planning.plan import make_plan
from codesign.planning.work import Budget, BudgetKind, Work
from codesign.program.compile import compile_encoder
from codesign.program.layout import Layout
from codesign.program.timeline import MatrixBlocks, encoder_times

TINY = EncoderShape("tiny", "bert", hidden=48, layers=1, ffn=96, heads=2)


def tiny_rows(a: Accelerator, density: float) -> list[MatrixBlocks]:
    """The six matrices of ``TINY``, blocks spread as evenly as whole blocks allow."""
    found = []
    for out_features, in_features in (*[(48, 48)] * 4, (96, 48), (48, 96)):
        rows, columns = -(-out_features // a.rows), -(-in_features // a.cols)
        kept = max(1, int(rows * columns * density))
        found.append(MatrixBlocks(tuple(sorted(kept // rows + (i < kept % rows) for i in range(rows)))))
    return found


@pytest.mark.parametrize(("compression", "batch"), [(None, 1), (2.0, 1), (2.0, 3)])
def test_a_plan_is_predicted_by_whole_sentences(compression: float | None, batch: int) -> None:
    board = load_board("zcu104")
    budget = Budget() if compression is None else Budget(BudgetKind.COMPRESSION, compression)
    plan = make_plan(board, Work(TINY, tokens=40, batch=batch), budget)
    a = plan.chosen.accelerator
    assert a.max_tokens == 40
    assert a.vector_width >= a.lanes
    assert all(layer.weight_memory is WeightMemory.BRAM for layer in plan.chosen.layers)
    layout = Layout(a, 48, 96, 2)

    def cycles(density: float) -> int:
        program = compile_encoder(layout, 1)
        return encoder_times(layout, program, tiny_rows(a, density), board.device.dsp_type, 40, batch).cycles

    dense = cycles(1.0)
    assert plan.predicted.dense_cycles == dense
    assert plan.predicted.cycles == cycles(1 / (compression or 1.0))
    assert plan.predicted.latency_ms == plan.predicted.cycles / a.clock_mhz / 1000
    assert plan.predicted.speedup == dense / plan.predicted.cycles


def test_a_latency_is_met_by_what_is_printed() -> None:
    work = Work(EncoderShape("s", "bert", 128, 2, 512, 2), block=(12, 4))
    plan = make_plan(load_board("zcu104"), work, Budget(BudgetKind.LATENCY, 0.1))
    assert plan.chosen.density < 1
    assert 0.99 * 0.1 < plan.predicted.latency_ms <= 0.1


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
        "whole sentences",
    ]
    assert all(passed <= count for _, count, passed in told)
    assert all(passed == count for _, count, passed in told[1:])
