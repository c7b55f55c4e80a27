"""The planner: which array to build on a board for a model, at what density, with what outcome.

Every array of the search grid is a candidate. A budget turns each candidate into a density: the compression
asked for, or the densest model that meets the latency or fits on chip. Candidates are chosen by density first
(a denser model is a more accurate one), by a sentence's cycles next, and near ties go to the smaller block, because
small blocks cost less accuracy. These cycles are a closed form, worked out for thousands of designs; what is
predicted of the chosen one, and held against a latency budget, is exact (``codesign.program.sentence``).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, isinf

from codesign.boards import Board
from codesign.errors import InputError
from codesign.hardware.accelerator import WEIGHT_BITS, Accelerator
from codesign.hardware.predict import Design, tightest
from codesign.hardware.run import Prediction
from codesign.numerics import longest_sum
from codesign.planning.search import (
    ANY,
    DENSITY_STEPS,
    HIGHEST_COMPRESSION,
    LOWEST_STEP,
    Progress,
    Search,
    Target,
    silent,
    target,
    too_large,
)
from codesign.planning.work import Budget, BudgetKind, Granularity, Work

LARGEST_SIDE = 256
"""Longest side of a block that a user may ask for."""
CLOSE = 0.005
"""A density is the highest for a latency where this part of it, or less, is left."""
MOST_RUNS = 8
"""Arrays whose exact cycles are worked out where hardly any meets a latency."""

LONGEST = 4096
"""Tokens of a sentence, the most that are looked at: no device here holds their scores."""
LONGEST_MS = 1e6
"""Longest latency that a user may ask for."""

NEARLY_AS_DENSE = 0.10
"""Where a budget leaves the density open, designs within this fraction of the densest are weighed by latency and
block. Halving the block's area buys about as much accuracy as 10 % more blocks (huggingface/nn_pruning, README and
results_squadv1.json: MNLI 83.71 / 82.69 at 65 / 81 % pruned, SQuAD F1 87.37 / 86.58 with 4×4 / 16×16 blocks)."""


@dataclass(frozen=True)
class Plan:
    """A chosen design with what the choice rests on.

    Attributes:
        board: The board.
        work: What was planned.
        budget: What had to be met.
        chosen: The design to build.
        dense: The same array with nothing pruned: what the speed-up is against.
        predicted: Of whole sentences on these two, the blocks of every matrix spread evenly.
        fastest: The fastest design that meets the budget as well; ``chosen`` has a smaller block, or is it.
        runners_up: The best designs of other block shapes, fastest first.
        pareto: The best designs by block area and by DSPs at the chosen density, for the figure.
        next_larger: Resources that a step more lanes of the chosen block would exceed; empty where none would.
    """

    board: Board
    work: Work
    budget: Budget
    chosen: Design
    dense: Design
    predicted: Prediction
    fastest: Design
    runners_up: tuple[Design, ...]
    pareto: tuple[Design, ...]
    next_larger: tuple[str, ...]


def make_plan(board: Board, work: Work, budget: Budget | None = None, shown: Progress = silent) -> Plan:
    """Search every array and block shape for the best plan.

    Args:
        board: The board.
        work: What is to be planned.
        budget: What must be met; default: none, the dense model.
        shown: Told what is going on, as ``codesign.report.console.tracked`` is.

    Raises:
        InputError: An argument is out of range, no array fits the board, or the budget cannot be met; the
            message says what is the best that the board can do.
    """
    budget = budget or Budget()
    _check(board, work, budget)
    search = Search(board, work, shown)
    if not search.holds_a_sentence(search.candidates, LOWEST_STEP / DENSITY_STEPS):
        raise too_large(search, LOWEST_STEP / DENSITY_STEPS)
    goal = target(search, budget)
    found = _choose(search, goal, budget)
    if found is None:
        if budget.kind is not BudgetKind.LATENCY:
            raise _impossible_on_chip(search)
        found = _choose_for_speed(search, budget.value or 0.0)
    choice, density, near = found
    wide = search.widened(choice, density, goal)
    if wide != choice and budget.kind is BudgetKind.ON_CHIP:
        # Wide words fill memories better.
        density = search.densest(wide, goal, density)
    choice = wide
    chosen = search.evaluate(choice, density)
    pareto = search.pareto(density)
    others: dict[tuple[int, int], Design] = {}
    for design in sorted(pareto, key=lambda d: d.estimated_cycles):
        if goal.meets(design):
            others.setdefault(design.accelerator.block, design)
    others.pop(chosen.accelerator.block, None)
    return Plan(
        board=board,
        work=work,
        budget=budget,
        chosen=chosen,
        dense=search.evaluate(choice, 1.0),
        predicted=_predicted(search, choice, density),
        fastest=min(near, key=lambda d: d.estimated_cycles),
        runners_up=tuple(others.values())[:5],
        pareto=tuple(pareto),
        next_larger=search.limits_of_next_larger(choice, density),
    )


Choice = tuple[Accelerator, float, list[Design]]
"""An array, the density of its matrices, and what it was chosen from."""


def _choose(search: Search, goal: Target, budget: Budget) -> Choice | None:
    """The array and the density that the budget asks for; None where it cannot be met."""
    density = search.highest_density(goal) if goal.searched else 1 / (budget.value or 1.0)
    if density is None:
        return None
    # Candidates that come near the highest density are admitted; the chosen one then gets its own highest.
    if goal.searched and density < 1:
        density *= 1 - NEARLY_AS_DENSE
    near = search.near_ties(density, goal)
    order = [(d.accelerator.block_area, d.estimated_cycles, tightest(d.resources, search.board)[1]) for d in near]
    choice = near[order.index(min(order))].accelerator
    if budget.kind is BudgetKind.LATENCY:
        met = _densest_in_time(search, choice, budget.value or 0.0)
        return None if met is None else (choice, met, near)
    return choice, search.densest(choice, goal, density) if goal.searched else density, near


def _densest_in_time(search: Search, accelerator: Accelerator, milliseconds: float) -> float | None:
    """The highest density at which an array meets a latency exactly; None where not even the lowest does."""

    def over(step: int) -> float:
        """Milliseconds above it, as far as the design fits the board."""
        density = step / DENSITY_STEPS
        if not search.evaluate(accelerator, density).resources.fits(search.limit):
            return inf
        return search.exact_cycles(accelerator, density) / accelerator.clock_mhz / 1000 - milliseconds

    low, high = LOWEST_STEP, DENSITY_STEPS
    under, above = over(low), over(high)
    if above <= 0:
        return 1.0
    if under > 0:
        return None
    # By false position: a large model's exact cycles take a second to work out, and are nearly proportional.
    left = under
    while high - low > 1 and left < -CLOSE * milliseconds:
        share = 0.5 if isinf(above) else under / (under - above)
        middle = min(max(low + int((high - low) * share), low + 1), high - 1)
        now = over(middle)
        # The end that stays counts half, or it would stay for good (the Illinois rule).
        if now <= 0:
            low, left, under, above = middle, now, now, above / 2
        else:
            high, under, above = middle, under / 2, now
    return low / DENSITY_STEPS


def _choose_for_speed(search: Search, milliseconds: float) -> Choice:
    """The fastest array at the lowest density, by exact cycles, for a latency that is hard to meet.

    Raises:
        InputError: It does not meet it either.
    """
    lowest = LOWEST_STEP / DENSITY_STEPS
    near = sorted(search.near_ties(lowest, ANY), key=lambda d: d.estimated_cycles)[:MOST_RUNS]
    cycles = [search.exact_cycles(design.accelerator, lowest) for design in near]
    best = near[cycles.index(min(cycles))].accelerator
    density = _densest_in_time(search, best, milliseconds)
    if density is None:
        # Rounded up, so that asking for it succeeds.
        reached = ceil(min(cycles) / best.clock_mhz) / 1000
        raise InputError(
            f"{search.board.name} cannot reach {milliseconds:g} ms",
            field="--latency-ms",
            value=milliseconds,
            accepted=f"{reached:g} ms or more (a {best.shape} array at {HIGHEST_COMPRESSION:g}× compression)",
        )
    return best, density, near


def _predicted(search: Search, accelerator: Accelerator, density: float) -> Prediction:
    both = search.shown("whole sentences")(iter((density, 1.0)), 2)
    cycles, dense = (search.exact_cycles(accelerator, part) for part in both)
    return Prediction(cycles, dense, accelerator.clock_mhz)


def _check(board: Board, work: Work, budget: Budget) -> None:
    def require(condition: bool, field: str, value: object, accepted: str) -> None:
        if not condition:
            raise InputError("not accepted", field=field, value=value, accepted=accepted)

    require(1 <= work.tokens <= LONGEST, "--tokens", work.tokens, f"1 to {LONGEST}")
    require(1 <= work.batch <= 1024, "--batch", work.batch, "1 to 1024")
    require(work.weight_bits in WEIGHT_BITS, "--weight-bits", work.weight_bits, "8 or 4")
    if work.block is not None:
        given = f"{work.block[0]}x{work.block[1]}"
        require(all(1 <= side <= LARGEST_SIDE for side in work.block), "--block", given, f"sides 1 to {LARGEST_SIDE}")
        require(work.granularity is not Granularity.COLUMN or work.block[1] == 1, "--block", given, "Rx1 for columns")
        require(work.granularity is not Granularity.ROW or work.block[0] == 1, "--block", given, "1xC for rows")
    highest = board.clock.highest_mhz
    clock = work.clock_mhz
    require(clock is None or 1 <= clock <= highest, "--clock-mhz", clock, f"1 or more, at most {highest:g}")
    longest = longest_sum(work.weight_bits)
    widest = max(m.in_features for m in work.matrices)
    require(widest <= longest, "in_features", widest, f"at most {longest}, so that int32 sums are exact")
    if budget.kind is BudgetKind.COMPRESSION:
        value = budget.value
        require(
            value is not None and 1 <= value <= HIGHEST_COMPRESSION,
            "--compression",
            value,
            f"1 to {HIGHEST_COMPRESSION:g}",
        )
    if budget.kind is BudgetKind.LATENCY:
        value = budget.value
        require(
            value is not None and 0 < value <= LONGEST_MS, "--latency-ms", value, f"above 0, at most {LONGEST_MS:g}"
        )


def _impossible_on_chip(search: Search) -> InputError:
    """The answer where the weights do not fit on chip: the best that the board can do."""
    name, lowest = search.board.name, 1 / HIGHEST_COMPRESSION
    roomiest = max(search.candidates, key=search.density_that_memory_allows)
    design = search.evaluate(roomiest.accelerator, lowest)
    best_case = f"{len(design.layers) - design.streamed} of {len(design.layers)} matrices do"
    return InputError(
        f"the weights do not fit on the chip of {name} even at {HIGHEST_COMPRESSION:g}× compression: {best_case}",
        field="--fit",
        value="on-chip",
        accepted="another board, fewer layers or tokens, or weights in external memory (--compression, --latency-ms)",
    )
