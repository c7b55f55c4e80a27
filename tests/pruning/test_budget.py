"""Budgets met on real shapes: a 6-layer encoder, importances drawn at random."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import pytest
import torch

from codesign.boards import load_board
from codesign.errors import InputError
from codesign.hardware.accelerator import WeightMemory, sparse_matrix
from codesign.hardware.cycles import block_cycles, matrix_cycles
from codesign.models import EncoderShape, Matrix, parse_shape
from codesign.planning import plan_document
from codesign.planning.plan import make_plan
from codesign.planning.work import Budget, BudgetKind, Work
from codesign.pruning.budget import Hardware
from codesign.pruning.rounds import check_budget, choose_masks, everything
from codesign.pruning.run import Run
from codesign.pruning.selection import Masks, Rules, least, select
from codesign.pruning.settings import Settings

MINI = parse_shape("name=mini,hidden=384,layers=6,ffn=1536,heads=12")


def hardware(budget: Budget, block: tuple[int, int] | None = (16, 16), shape: EncoderShape = MINI) -> Hardware:
    board = load_board("zcu104")
    return Hardware(plan_document(make_plan(board, Work(shape, block=block), budget)), board)


def importances(planned: Hardware, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows, cols = planned.block
    found = {}
    for name, matrix in planned.matrices.items():
        shape = (-(-matrix.out_features // rows), -(-matrix.in_features // cols))
        # Matrices differ by orders of magnitude, as real ones do.
        scale = 10 ** float(torch.rand(1, generator=generator))
        found[name] = scale * torch.rand(shape, generator=generator)
    return found


def spent(planned: Hardware, masks: Masks) -> float:
    if planned.plan.budget.kind is BudgetKind.LATENCY:
        return planned.predicted(masks).latency_ms
    return 1 / planned.compression(masks)


@pytest.mark.parametrize(
    ("budget", "limit"),
    [
        (Budget(BudgetKind.COMPRESSION, 1.8), 1 / 1.8),
        (Budget(BudgetKind.COMPRESSION, 5.0), 1 / 5.0),
        (Budget(BudgetKind.LATENCY, 2.0), 2.0),
    ],
    ids=str,
)
@pytest.mark.parametrize("block", [(16, 16), (7, 24)])
def test_met_and_at_most_half_a_percent_below(budget: Budget, limit: float, block: tuple[int, int]) -> None:
    planned = hardware(budget, block)
    masks = select(
        importances(planned, 1),
        planned.block_cost,
        planned.allows,
        Rules(floor=0.02),
        free=planned.free_blocks,
    )
    assert planned.allows(masks)
    assert limit * 0.995 <= spent(planned, masks) <= limit
    assert all(mask.sum() >= 0.02 * mask.numel() for mask in masks.values())


def test_no_block_is_pruned_that_costs_no_cycles() -> None:
    planned = hardware(Budget(BudgetKind.LATENCY, 1.0))
    free = planned.free_blocks
    assert free is not None
    assert max(free.values()) > 1
    masks = select(importances(planned, 1), planned.block_cost, planned.allows, Rules(floor=0.02), free=free)
    cycles = planned.design(masks).array_cycles
    full = 0
    for name, mask in masks.items():
        counts = mask.sum(dim=1)
        assert int(counts.min()) >= min(free[name], mask.shape[1])
        row = int(counts.argmin())
        if not mask[row].all():
            more = mask.clone()
            more[row, int((~mask[row]).nonzero()[0])] = True
            assert planned.design({**masks, name: more}).array_cycles > cycles
            full += 1
    assert full
    assert hardware(Budget(BudgetKind.COMPRESSION, 2.0)).free_blocks is None


def test_fit_on_chip_is_met_and_not_overdone() -> None:
    planned = hardware(Budget(BudgetKind.ON_CHIP))
    importance = importances(planned, 2)
    masks = select(importance, planned.block_cost, planned.allows, Rules(floor=0.02))
    assert planned.design(masks).on_chip
    kept = sum(int(mask.sum()) for mask in masks.values())

    def a_little_more(masks: Masks) -> bool:
        return sum(int(mask.sum()) for mask in masks.values()) <= kept * 1.005

    assert not planned.allows(select(importance, planned.block_cost, a_little_more, Rules(floor=0.02)))


def test_a_block_s_cost_is_what_one_more_adds() -> None:
    planned = hardware(Budget(BudgetKind.COMPRESSION, 2.0))
    accelerator, board = planned.plan.accelerator, planned.board
    matrix = Matrix("m", 384, 384)
    rate = board.read_bytes_per_second
    for memory in (WeightMemory.URAM, WeightMemory.DDR):
        for tokens in (128, 300):
            few, more = (
                matrix_cycles(
                    accelerator,
                    board.device.dsp_type,
                    sparse_matrix(matrix, *accelerator.block, [20] * 23 + [last]),
                    tokens,
                    memory,
                    rate,
                )
                for last in (20, 21)
            )
            # From external memory the block's index word comes too, with every sentence: a cycle at most.
            index = -(-tokens // accelerator.max_tokens) if memory is WeightMemory.DDR else 0
            assert 0 <= more - few - block_cycles(accelerator, tokens, memory, rate) <= index


def test_one_block_too_many_breaks_a_compression_budget() -> None:
    planned = hardware(Budget(BudgetKind.COMPRESSION, 3.0))
    masks = select(importances(planned, 3), planned.block_cost, planned.allows)
    mask = next(m for m in masks.values() if not m.all())
    row, col = (~mask).nonzero()[0].tolist()
    mask[row, col] = True
    assert not planned.allows(masks)


@pytest.mark.parametrize("balance", [None, 1])
@pytest.mark.parametrize(
    ("budget", "block"),
    [
        (Budget(BudgetKind.COMPRESSION, 2.5), (7, 24)),
        (Budget(BudgetKind.LATENCY, 0.2), (16, 16)),
        (Budget(BudgetKind.ON_CHIP), (16, 16)),
    ],
    ids=["compression", "latency", "on-chip"],
)
def test_a_floor_too_high_is_found_before_training(
    budget: Budget, block: tuple[int, int], balance: int | None
) -> None:
    # One layer is enough, but for the chip's memories.
    planned = hardware(budget, block, MINI if budget.kind is BudgetKind.ON_CHIP else replace(MINI, layers=1))
    with pytest.raises(InputError) as caught:
        check_budget(planned, Settings(floor=1.0, balance=balance))
    told = str(caught.value)
    assert "the budget cannot be met: best " in told
    assert "blocks that have to stay (floor of 100% in each matrix" in told
    assert ("block rows within 1 of each other" in told) is (balance is not None)
    # What is said to be possible is, with importances of any kind; a little more is not.
    floor = float(told.partition("or --floor ")[2].partition(" ")[0])
    check_budget(planned, Settings(floor=floor, balance=balance))
    with pytest.raises(InputError):
        check_budget(planned, Settings(floor=floor + 0.001, balance=balance))
    rounds = cast("Run", SimpleNamespace(hardware=planned, settings=Settings(floor=floor, balance=balance)))
    present = everything(planned)
    for number in (1, 2, 3):  # what one round leaves must leave the next a choice
        masks = choose_masks(rounds, importances(planned, number), number, 3, present)
        assert not any((masks[name] & ~present[name]).any() for name in masks)
        for mask in masks.values():
            assert mask.sum() >= floor * mask.numel() - 1e-9
            assert balance is None or int(mask.sum(dim=1).max() - mask.sum(dim=1).min()) <= balance
        present = masks
    assert planned.allows(present)


@pytest.mark.parametrize("floor", [0.02, 0.1, 0.3])
def test_block_rows_alike_take_the_least_time(floor: float) -> None:
    planned, rules = hardware(Budget(BudgetKind.LATENCY, 1.0)), Rules(floor=floor)
    even = least(planned.counted, rules)
    assert all(int(mask.sum(dim=1).max() - mask.sum(dim=1).min()) <= 1 for mask in even.values())
    fewest = planned.design(even).array_cycles
    generator = torch.Generator().manual_seed(0)
    for among in (1, 2, 4):  # drawn from a part of the block rows, as importances may lie
        other = {}
        for name, mask in even.items():
            rows, cols = mask.shape
            height = max(-(-int(mask.sum()) // cols), rows // among)
            drawn = torch.zeros(rows * cols, dtype=torch.bool)
            drawn[torch.randperm(height * cols, generator=generator)[: int(mask.sum())]] = True
            other[name] = drawn.view_as(mask)
        assert planned.design(other).array_cycles >= fewest


def test_a_budget_that_no_floor_meets() -> None:
    planned = hardware(Budget(BudgetKind.COMPRESSION, 2.0))
    tight = Hardware(planned.plan.model_copy(update={"budget": Budget(BudgetKind.COMPRESSION, 1e6)}), planned.board)
    with pytest.raises(
        InputError, match=r"best 1152× compression, with the 36 of 41472 .*; accepted: a looser budget$"
    ):
        check_budget(tight, Settings())
