"""Which blocks stay: decided over the whole network at once, by importance per predicted cycle.

Every block is worth its importance divided by its cost. Blocks are kept from the best downwards, as many as the
budget allows; a floor protects the best blocks of each matrix, so that no matrix vanishes. Where a block row of few
blocks lasts as long as one of more, its first blocks are one item: each is worth their mean, and they stay or go
together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
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
    together: Mapping[str, int] | None = None,
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
        together: Per matrix how many blocks of a block row cost no more than one: a row's best so many stay or go
            together, unless rows are to be balanced.
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
    shared = together if together is not None and rules.balance is None else {}
    item = {}
    for name in names:
        worth[name] = torch.where(present[name], worth[name], -1.0)
        worth[name], item[name] = pooled(worth[name], shared.get(name, 1))
    sizes = [worth[name].numel() for name in names]

    def ordered(floors: Mapping[str, Tensor]) -> Tensor:
        """Every block's key: infinite where a floor protects it, below 0 where it is gone."""
        keys = [worth[name].flatten().index_fill(0, floors[name], torch.inf) for name in names]
        return torch.where(torch.cat([present[name].flatten() for name in names]), torch.cat(keys), -1.0)

    def masks(flat: Tensor, order: Tensor, kept: int) -> Masks:
        chosen = torch.zeros(flat.numel(), dtype=torch.bool)
        chosen[order[:kept]] = True
        parts = torch.split(chosen, sizes)
        found = {name: part.view_as(worth[name]) for name, part in zip(names, parts, strict=True)}
        if rules.balance is not None:
            found = {name: balanced(worth[name], mask, rules.balance) for name, mask in found.items()}
        return found

    # Floors of the best blocks, whole items of them; where the budget has no room for those, the best alone; and
    # where it has room for the cheapest only, those: what was found possible before is not refused later.
    tried: Masks | None = None
    for floors in _floors(worth, item, present, rules, cheapest):
        flat = ordered(floors)
        order = flat.argsort(descending=True, stable=True)
        fewest, most = int((flat == torch.inf).sum()), int((flat >= 0).sum())
        tried = tried or masks(flat, order, fewest)
        if allows(masks(flat, order, fewest)):
            break
    else:
        assert tried is not None
        raise impossible(tried, rules, reached)
    if allows(masks(flat, order, most)):
        return masks(flat, order, most)
    while most - fewest > 1:
        middle = (fewest + most) // 2
        if allows(masks(flat, order, middle)):
            fewest = middle
        else:
            most = middle
    return masks(flat, order, fewest)


def _floors(
    worth: Masks, item: Masks, present: Masks, rules: Rules, cheapest: Mapping[str, Tensor] | None
) -> Iterator[dict[str, Tensor]]:
    """Numbers of the blocks that floors protect in each matrix, from the best choice to the cheapest."""
    best = {name: values.flatten().argsort(descending=True, stable=True) for name, values in worth.items()}
    floor = {name: _floor(values.numel(), rules) for name, values in worth.items()}
    whole = {}
    for name, order in best.items():
        end = floor[name]
        while end < order.numel() and item[name][order[end]] == item[name][order[end - 1]]:
            end += 1
        whole[name] = order[:end]
    yield whole
    yield {name: order[: floor[name]] for name, order in best.items()}
    if cheapest is None:
        return
    for spread in spreads(cheapest, rules):
        orders = {name: _cheapest(weight, floor[name], spread) for name, weight in cheapest.items()}
        yield {name: order[present[name].flatten()[order]][: floor[name]] for name, order in orders.items()}


def spreads(weights: Mapping[str, Tensor], rules: Rules) -> Iterator[int]:
    """The ways in which ``least`` spreads blocks over block rows: 1, 2, 4, … times as many as have to be."""
    yield 1
    most = max(len(weight) for weight in weights.values())
    spread = 2
    while rules.balance is None and spread < 2 * most:
        yield spread
        spread *= 2


def least(weights: Mapping[str, Tensor], rules: Rules, spread: int = 1) -> Masks:
    """The fewest blocks that floor and balance allow, those of least weight.

    Of blocks that weigh the same, those of a rectangle: what is not in it is neither read nor given. Whether fewer
    block rows or fewer block columns take less time depends on the array: the least time is that of the best spread.

    Args:
        weights: Per matrix what each of its blocks counts, block rows × block columns.
        rules: Floor and balance.
        spread: The rectangle has so many times as many block rows as have to be.
    """
    found = {}
    for name, weight in weights.items():
        kept = _floor(weight.numel(), rules)
        mask = torch.zeros(weight.numel(), dtype=torch.bool)
        mask[_cheapest(weight, kept, spread)[:kept]] = True
        mask = mask.view_as(weight)
        if rules.balance is not None:
            # What weighs least is worth most: of as many blocks, the most in all is the least weight.
            mask = balanced((weight.max() + 1 - weight).double(), mask, rules.balance)
        found[name] = mask
    return found


def _cheapest(weight: Tensor, kept: int, spread: int) -> Tensor:
    """Numbers of a matrix's blocks: the lightest first, of those the ones in the rectangle, of those the last."""
    rows, cols = weight.shape
    height = min(rows, ceil(kept / cols) * spread)
    outside = torch.ones(rows, cols, dtype=torch.bool)
    outside[rows - height :, cols - ceil(kept / height) :] = False
    key = 2 * weight + outside
    return weight.numel() - 1 - key.flatten().flip(0).argsort(stable=True)


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


def pooled(worth: Tensor, together: int) -> tuple[Tensor, Tensor]:
    """Worth where a block row of fewer blocks than ``together`` lasts as long as one of so many.

    Its best so many blocks cost the row's time between them: each is worth their sum over ``together``. Taking items
    from the best downwards then is the best choice for the time that it takes, because what comes after a row's first
    item is worth less.

    Args:
        worth: Block rows × block columns; below 0 where a block is gone.
        together: Blocks that cost as much as one.

    Returns:
        The worth of every block, and per block, flattened, the number of its item: blocks of one item have the same,
        and follow each other in a stable sort by worth.
    """
    rows, cols = worth.shape
    best = worth.argsort(dim=1, descending=True, stable=True)[:, :together]
    values = worth.gather(1, best)
    first = torch.zeros_like(worth, dtype=torch.bool).scatter_(1, best, values >= 0)
    mean = values.clamp_min(0).sum(dim=1, keepdim=True) / together
    alone = torch.arange(rows, rows + rows * cols).view(rows, cols)
    item = torch.where(first, torch.arange(rows)[:, None], alone)
    return torch.where(first, mean, worth), item.flatten()


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
