from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codesign.errors import InputError
from codesign.pruning.selection import Masks, Rules, balanced, least, select

NONE = Rules(floor=0.0)


def at_most(number: int):
    return lambda masks: sum(int(mask.sum()) for mask in masks.values()) <= number


def count(masks: Masks) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


def random_importance(seed: int, shapes: list[tuple[int, int]]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    # Few distinct values: ties are the rule.
    return {str(n): torch.randint(0, 4, shape, generator=generator).float() for n, shape in enumerate(shapes)}


@given(
    st.integers(0, 10**6),
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=4),
    st.data(),
)
def test_the_most_worthy_blocks_stay_and_the_number_is_met_exactly(
    seed: int, shapes: list[tuple[int, int]], data: st.DataObject
) -> None:
    importance = random_importance(seed, shapes)
    cost = {name: data.draw(st.sampled_from([1.0, 2.0, 5.0])) for name in importance}
    total = sum(i.numel() for i in importance.values())
    number = data.draw(st.integers(len(shapes), total))
    masks = select(importance, cost, at_most(number), NONE)
    assert count(masks) == number
    worth = {name: importance[name] / cost[name] for name in importance}
    # Protected blocks aside (the best of each matrix), no pruned block is worth more than a kept one.
    kept = [
        float(value) for name in importance for value in worth[name][masks[name]].sort(descending=True).values[1:]
    ]
    gone = [float(value) for name in importance for value in worth[name][~masks[name]]]
    if kept and gone:
        assert max(gone) <= min(kept)
    assert all(mask.any() for mask in masks.values())


@given(st.integers(0, 10**6), st.integers(2, 4))
def test_any_monotone_budget_is_met_and_one_block_more_breaks_it(seed: int, shrink: int) -> None:
    importance = random_importance(seed, [(4, 6), (3, 5)])
    weight = {"0": 3, "1": 7}
    limit = (24 * 3 + 15 * 7) / shrink

    def spent(masks: Masks) -> int:
        return sum(weight[name] * int(mask.sum()) for name, mask in masks.items())

    masks = select(importance, {"0": 3.0, "1": 7.0}, lambda m: spent(m) <= limit, NONE)
    assert spent(masks) <= limit
    assert limit - spent(masks) < max(weight.values())


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 7), st.integers(1, 4), st.integers(0, 16))
def test_what_costs_nothing_stays(seed: int, rows: int, cols: int, free: int, more: int) -> None:
    """Where every block row lasts as long as some blocks take, however few it has."""
    importance = torch.rand((rows, cols), generator=torch.Generator().manual_seed(seed))

    def allows(masks: Masks) -> bool:
        return sum(max(int(count), free) for count in masks["m"].sum(dim=1)) <= rows * free + more

    mask = select({"m": importance}, {"m": 1.0}, allows, NONE, free={"m": free})["m"]
    assert allows({"m": mask})
    for row, kept in zip(importance, mask, strict=True):
        assert int(kept.sum()) >= min(free, cols)
        # The best of each row.
        assert (not kept.all() and float(row[kept].min()) > float(row[~kept].max())) or kept.all()
    # One block more, in any row, would take too long.
    for row in range(rows):
        if not mask[row].all():
            larger = mask.clone()
            larger[row, int((~mask[row]).nonzero()[0])] = True
            assert mask.sum() >= rows * free + more or not allows({"m": larger}) or free >= cols


def test_what_costs_nothing_stays_among_what_is_there() -> None:
    importance = {"m": torch.tensor([[6.0, 1.0, 0.0], [3.0, 3.0, 2.0], [5.0, 9.0, 9.0]])}
    present = {"m": torch.tensor([[True, True, True], [True, True, True], [True, False, False]])}

    def allows(masks: Masks) -> bool:
        return sum(max(int(count), 2) for count in masks["m"].sum(dim=1)) <= 6

    mask = select(importance, {"m": 1.0}, allows, NONE, present, free={"m": 2})["m"]
    assert mask.tolist() == [[True, True, False], [True, True, False], [True, False, False]]
    # Rows that are to be balanced are left as they are, and where it would cost something all the same, too.
    few = select(importance, {"m": 1.0}, at_most(2), NONE, present, free={"m": 2})["m"]
    assert int(few.sum()) == 2


def test_the_floor_protects_the_best_blocks_of_each_matrix() -> None:
    importance = {"strong": torch.full((4, 5), 9.0), "weak": torch.arange(20.0).view(4, 5) / 100}
    masks = select(importance, {"strong": 1.0, "weak": 1.0}, at_most(12), Rules(floor=0.2))
    assert int(masks["weak"].sum()) == 4
    assert masks["weak"].flatten()[-4:].all()
    assert int(masks["strong"].sum()) == 8


def test_what_is_pruned_stays_pruned() -> None:
    importance = {"a": torch.ones(3, 4)}
    present = {"a": torch.zeros(3, 4, dtype=torch.bool)}
    present["a"][1] = True
    masks = select(importance, {"a": 1.0}, at_most(10), NONE, present)
    assert torch.equal(masks["a"], present["a"])
    assert count(select(importance, {"a": 1.0}, at_most(3), NONE, present)) == 3


def test_blocks_that_cost_more_go_first() -> None:
    importance = {"cheap": torch.full((2, 5), 2.0), "dear": torch.full((2, 5), 3.0)}
    masks = select(importance, {"cheap": 1.0, "dear": 2.0}, at_most(11), NONE)
    assert int(masks["cheap"].sum()) == 10
    assert int(masks["dear"].sum()) == 1


def test_a_budget_below_the_floors_is_answered_with_the_best() -> None:
    importance = {"a": torch.ones(4, 5), "b": torch.ones(4, 5)}
    with pytest.raises(InputError, match=r"best 8 blocks, with the 8 of 40 blocks that have to stay \(floor of 20%"):
        select(
            importance,
            {"a": 1.0, "b": 1.0},
            at_most(7),
            Rules(floor=0.2),
            reached=lambda masks: f"{count(masks)} blocks",
        )


def test_a_nan_is_no_importance() -> None:
    with pytest.raises(ValueError, match="NaN"):
        select({"a": torch.tensor([[1.0, float("nan")]])}, {"a": 1.0}, at_most(1))


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.data())
def test_balanced_is_the_best_of_all_balanced_choices(
    seed: int, spread: int, rows: int, cols: int, data: st.DataObject
) -> None:
    worth = torch.rand((rows, cols), generator=torch.Generator().manual_seed(seed)).double()
    number = data.draw(st.integers(0, rows * cols))
    mask = torch.zeros(rows * cols, dtype=torch.bool)
    mask[:number] = True
    found = balanced(worth, mask.view(rows, cols), spread)
    per_row = found.sum(dim=1)
    assert int(found.sum()) == number
    assert int(per_row.max() - per_row.min()) <= spread
    best = 0.0
    for counts in product(range(cols + 1), repeat=rows):
        if sum(counts) == number and max(counts) - min(counts) <= spread:
            best = max(best, sum(float(worth[r].topk(n).values.sum()) for r, n in enumerate(counts)))
    assert float(worth[found].sum()) == pytest.approx(best)


def test_balance_holds_in_a_selection() -> None:
    importance = {"a": torch.arange(64.0).view(8, 8)}
    free = select(importance, {"a": 1.0}, at_most(32), NONE)["a"].sum(dim=1)
    assert int(free.max() - free.min()) == 8
    even = select(importance, {"a": 1.0}, at_most(32), Rules(floor=0.0, balance=1))["a"].sum(dim=1)
    assert int(even.max() - even.min()) <= 1
    assert int(even.sum()) == 32


@given(st.integers(0, 10**6), st.integers(1, 3))
def test_balance_never_brings_a_block_back(seed: int, spread: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rules = Rules(floor=0.0, balance=spread)
    present = None
    for number in (30, 22, 13, 9):
        importance = {"a": torch.rand((6, 7), generator=generator) * 10}
        masks = select(importance, {"a": 1.0}, at_most(number), rules, present)
        assert count(masks) == number
        assert present is None or not (masks["a"] & ~present["a"]).any()
        per_row = masks["a"].sum(dim=1)
        assert int(per_row.max() - per_row.min()) <= spread
        present = masks


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(1, 4), st.floats(0, 1), st.sampled_from([None, 1, 2]))
def test_no_choice_that_floor_and_balance_allow_weighs_less(
    seed: int, rows: int, cols: int, floor: float, balance: int | None
) -> None:
    """Against every choice of as many blocks."""
    weight = torch.randint(1, 4, (rows, cols), generator=torch.Generator().manual_seed(seed))
    mask = least({"m": weight}, Rules(floor, balance))["m"]
    number = max(1, -(-round(floor * rows * cols * 1e9) // 10**9))

    def even(chosen: torch.Tensor) -> bool:
        counts = chosen.sum(dim=1)
        return balance is None or int(counts.max() - counts.min()) <= balance

    assert int(mask.sum()) == number
    assert even(mask)
    every = (torch.tensor(bits).view(rows, cols).bool() for bits in product((0, 1), repeat=rows * cols))
    assert int(weight[mask].sum()) == min(int(weight[m].sum()) for m in every if m.sum() == number and even(m))


def test_where_the_best_blocks_have_no_room_the_cheapest_do() -> None:
    # The best block of the two that a floor of 1/2 keeps weighs 9; the budget has room for the others alone.
    importance, weights = {"m": torch.tensor([[4.0, 3.0, 2.0, 1.0]])}, {"m": torch.tensor([[9, 2, 1, 1]])}

    def allows(masks: Masks) -> bool:
        return int(weights["m"][masks["m"]].sum()) <= 3

    with pytest.raises(InputError, match="budget cannot be met, with the 2 of 4 blocks that have to stay"):
        select(importance, {"m": 1.0}, allows, Rules(floor=0.5))
    mask = select(importance, {"m": 1.0}, allows, Rules(floor=0.5), cheapest=weights)["m"]
    assert mask.tolist() == [[False, False, True, True]]
    # Of those that are there still.
    there = {"m": torch.tensor([[True, True, True, False]])}
    mask = select(importance, {"m": 1.0}, allows, Rules(floor=0.5), there, cheapest=weights)["m"]
    assert mask.tolist() == [[False, True, True, False]]
