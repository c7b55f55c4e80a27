"""Which blocks stay: decided over the whole network at once, by importance per predicted cycle.

Every block is worth its importance divided by its cost. Blocks are kept from the best downwards, as many as the
budget allows; a floor protects the best blocks of each matrix, so that no matrix vanishes. Where every block row
lasts as long as some blocks take, those stay that then cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import ceil

import torch
from torch import Tensor

from codesign.errors import InputError

Masks = dict[str, Tensor]


@dataclass(frozen=True)
class Rules:
    """What a selection must respect besides the budget.

    Attributes:
        floor: Part of each matrix's blocks that is kept at least; one block always is.
        balance: Largest difference of kept blocks between two block rows of a matrix; None for any.
    """

    floor: float = 0.05
    balance: int | None = None


def select(
    importance: dict[str, Tensor],
    cost: dict[str, float],
    allows: Callable[[Masks], bool],
    rules: Rules | None = None,
    present: Masks | None = None,
    reached: Callable[[Masks], str] | None = None,
    free: Mapping[str, int] | None = None,
    cheapest: Mapping[str, Tensor] | None = None,
) -> Masks:
    """The most important blocks that a budget allows.

    Args:
        importance: Per matrix one value ≥ 0 per block, block rows × block columns.
        cost: Per matrix what one of its blocks costs, in cycles; only ratios matter.
        allows: Whether masks meet the budget. Fewer blocks must never turn it from true to false.
        rules: Floor and balance.
        present: Blocks that still exist; pruned ones do not come back.
        reached: Says for an error message what masks reach.
        free: Per matrix how many blocks of each block row cost nothing: the best so many stay, unless rows are to be
            balanced.
        cheapest: Per matrix what each block counts, for floors where the best blocks cost too much.

    Returns:
        Per matrix the mask of the kept blocks, on the CPU. One block more, in the order of worth, would break
        the budget.

    Raises:
        InputError: Not even the floors meet the budget.
        ValueError: An importance is NaN.
    """
    rules = rules or Rules()
    names = list(importance)
    worth = {name: importance[name].double().cpu() / cost[name] for name in names}
    for name in names:
        if worth[name].isnan().any():
            raise ValueError(f"{name}: importance is NaN")
    if present is None:
        present = {name: torch.ones_like(worth[name], dtype=torch.bool) for name in names}
    present = {name: present[name].cpu() for name in names}
    # Pruned blocks last, protected ones first; the stable sort settles ties by position, so that any number of
    # blocks can be met exactly.
    worth = {name: torch.where(present[name], worth[name], -1.0) for name in names}
    sizes = [worth[name].numel() for name in names]

    def ordered(worth: Masks, floors: Mapping[str, Tensor]) -> Tensor:
        """Every block's key: infinite where a floor protects it, below 0 where it is gone."""
        keys = [worth[name].flatten().index_fill(0, floors[name], torch.inf) for name in names]
        return torch.where(torch.cat([present[name].flatten() for name in names]), torch.cat(keys), -1.0)

    def masks(worth: Masks, order: Tensor, kept: int, filling: Mapping[str, int] | None) -> Masks:
        chosen = torch.zeros(order.numel(), dtype=torch.bool)
        chosen[order[:kept]] = True
        parts = torch.split(chosen, sizes)
        found = {name: part.view_as(worth[name]) for name, part in zip(names, parts, strict=True)}
        if rules.balance is not None:
            found = {name: balanced(worth[name], mask, rules.balance) for name, mask in found.items()}
        elif filling is not None:
            found = {name: mask | _best_of_rows(worth[name], filling[name]) for name, mask in found.items()}
        return found

    # Floors of the best blocks; where the budget has room for the cheapest only, those: what was found possible
    # before is not refused later. Blocks that cost no cycles may cost memory: then they are left out.
    tried: Masks | None = None
    for filling, (valued, floors) in product((free, None), _floors(worth, rules, cheapest)):
        flat = ordered(valued, floors)
        order = flat.argsort(descending=True, stable=True)
        fewest, most = int((flat == torch.inf).sum()), int((flat >= 0).sum())
        tried = tried or masks(valued, order, fewest, filling)
        if allows(masks(valued, order, fewest, filling)):
            break
    else:
        assert tried is not None
        raise impossible(tried, rules, reached)
    if allows(masks(valued, order, most, filling)):
        return masks(valued, order, most, filling)
    while most - fewest > 1:
        middle = (fewest + most) // 2
        if allows(masks(valued, order, middle, filling)):
            fewest = middle
        else:
            most = middle
    return masks(valued, order, fewest, filling)


def _best_of_rows(worth: Tensor, count: int) -> Tensor:
    """The best blocks of every block row, so many where there are."""
    best = worth.argsort(dim=1, descending=True, stable=True)[:, :count]
    return torch.zeros_like(worth, dtype=torch.bool).scatter_(1, best, True) & (worth >= 0)


def _floors(
    worth: Masks, rules: Rules, cheapest: Mapping[str, Tensor] | None
) -> Iterator[tuple[Masks, dict[str, Tensor]]]:
    """Numbers of the blocks that floors protect in each matrix, from the best choice to the cheapest.

    With each choice what blocks are worth, that no balancing may prefer others to the cheapest.
    """
    best = {name: values.flatten().argsort(descending=True, stable=True) for name, values in worth.items()}
    yield worth, {name: order[: _floor(order.numel(), rules)] for name, order in best.items()}
    if cheapest is None:
        return
    fewest = {name: _lightest(cheapest[name].cpu(), values >= 0, rules) for name, values in worth.items()}
    raised = {
        name: torch.where(fewest[name], 1 + values.clamp_min(0).sum(), values) for name, values in worth.items()
    }
    yield raised, {name: mask.flatten().nonzero()[:, 0] for name, mask in fewest.items()}


def least(weights: Mapping[str, Tensor], rules: Rules, present: Masks | None = None) -> Masks:
    """The fewest blocks that floor and balance allow, those of least weight; of these, as many in every block row.

    Block rows of few blocks last as long as those of some more: rows alike take the least time.

    Args:
        weights: Per matrix what each of its blocks counts, block rows × block columns.
        rules: Floor and balance.
        present: Blocks to choose from; every matrix's block rows balanced.
    """
    if present is None:
        present = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in weights.items()}
    return {name: _lightest(weight, present[name], rules) for name, weight in weights.items()}


def _lightest(weight: Tensor, present: Tensor, rules: Rules) -> Tensor:
    """The fewest of a matrix's blocks that floor and balance allow, of least weight, among those that are there.

    Of the lightest the last of each row first, then the second last and so on.
    """
    by_column = torch.arange(weight.numel()).view_as(weight).T.flatten().flip(0)
    order = by_column[weight.flatten()[by_column].argsort(stable=True)]
    mask = torch.zeros(weight.numel(), dtype=torch.bool)
    mask[order[present.flatten()[order]][: _floor(weight.numel(), rules)]] = True
    mask = mask.view_as(weight)
    if rules.balance is not None:
        # What weighs least is worth most: of as many blocks, the most in all is the least weight.
        mask = balanced(torch.where(present, weight.max() + 1 - weight, -1).double(), mask, rules.balance)
    return mask


def impossible(masks: Masks, rules: Rules, reached: Callable[[Masks], str] | None) -> InputError:
    """What to say where not even these masks, of the blocks that have to stay, meet a budget."""
    fewest, total = (sum(int(f(mask)) for mask in masks.values()) for f in (Tensor.sum, Tensor.numel))
    best = f": best {reached(masks)}" if reached else ""
    even = "" if rules.balance is None else f", block rows within {rules.balance} of each other"
    return InputError(
        f"the budget cannot be met{best}, with the {fewest} of {total} blocks that have to stay"
        f" (floor of {100 * rules.floor:g}% in each matrix{even})",
        accepted="a looser budget or a lower --floor",
    )


def _floor(blocks: int, rules: Rules) -> int:
    return max(1, ceil(rules.floor * blocks - 1e-9))


def balanced(worth: Tensor, mask: Tensor, spread: int) -> Tensor:
    """As many blocks as the mask keeps, worth the most, with block rows that differ by ``spread`` at most.

    For every least number of blocks per row: each row keeps its best so many, and the rest of the blocks are the
    best of each row's next ``spread``. The best of these choices is the best of all, since within a row blocks are
    taken in order of worth. Blocks worth less than 0 are gone already; earlier selections having been balanced too,
    there always is a choice without them.
    """
    kept, (rows, cols) = int(mask.sum()), worth.shape
    # Blocks that are gone (worth below 0) cost more than any choice among the others can gain.
    worth = torch.where(worth < 0, -1 - worth.clamp_min(0).sum(), worth)
    best, order = worth.sort(dim=1, descending=True, stable=True)
    sums = best.cumsum(dim=1)
    chosen: tuple[float, Tensor] | None = None
    for least in range(cols + 1):
        top = min(least + spread, cols)
        if not rows * least <= kept <= rows * top:
            continue
        counts = torch.full((rows,), least)
        extra = best[:, least:top].flatten().argsort(descending=True, stable=True)[: kept - rows * least]
        if top > least:
            counts += torch.bincount(extra // (top - least), minlength=rows)
        total = float(sums.gather(1, (counts - 1).clamp_min(0)[:, None])[:, 0][counts > 0].sum())
        if chosen is None or total > chosen[0]:
            chosen = (total, counts)
    assert chosen is not None  # least = kept // rows always qualifies
    rank = torch.empty_like(order).scatter_(1, order, torch.arange(cols).expand(rows, cols))
    return rank < chosen[1][:, None]
