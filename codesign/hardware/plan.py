"""The planner: which array to build on a board for a model, at what density, with what outcome.

Every array of the search grid is a candidate. A budget turns each candidate into a density: the compression
asked for, or the densest model that meets the latency or fits on chip. Candidates are chosen by density first
(a denser model is a more accurate one), by latency next, and near ties go to the smaller block, because small
blocks cost less accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from codesign.boards import Board
from codesign.errors import InputError
from codesign.hardware.accelerator import WEIGHT_BITS
from codesign.hardware.predict import Design, tightest
from codesign.hardware.search import ANY, HIGHEST_COMPRESSION, Search, target
from codesign.hardware.work import Budget, BudgetKind, Granularity, Work
from codesign.numerics import longest_sum

LARGEST_SIDE = 256
"""Longest side of a block that a user may ask for."""

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
    fastest: Design
    runners_up: tuple[Design, ...]
    pareto: tuple[Design, ...]
    next_larger: tuple[str, ...]


def make_plan(board: Board, work: Work, budget: Budget | None = None) -> Plan:
    """Search every array and block shape for the best plan.

    Raises:
        InputError: An argument is out of range, no array fits the board, or the budget cannot be met; the
            message says what is the best that the board can do.
    """
    budget = budget or Budget()
    _check(board, work, budget)
    search = Search(board, work)
    goal = target(search, budget)
    density = search.highest_density(goal) if goal.searched else 1 / (budget.value or 1.0)
    if density is None:
        raise _impossible(search, budget)
    # Candidates that come near the highest density are admitted; the chosen one then gets its own highest.
    if goal.searched and density < 1:
        density *= 1 - NEARLY_AS_DENSE
    near = search.near_ties(density, goal)
    choice = min(near, key=lambda d: (d.accelerator.block_area, d.cycles, tightest(d.resources, board)[1]))
    if goal.searched:
        density = search.densest(choice.accelerator, goal, density)
    chosen = search.evaluate(choice.accelerator, density)
    pareto = search.pareto(density)
    others: dict[tuple[int, int], Design] = {}
    for design in sorted(pareto, key=lambda d: d.cycles):
        if goal.meets(design):
            others.setdefault(design.accelerator.block, design)
    others.pop(chosen.accelerator.block, None)
    return Plan(
        board=board,
        work=work,
        budget=budget,
        chosen=chosen,
        dense=search.evaluate(chosen.accelerator, 1.0),
        fastest=min(near, key=lambda d: d.cycles),
        runners_up=tuple(others.values())[:5],
        pareto=tuple(pareto),
        next_larger=search.limits_of_next_larger(choice.accelerator, density),
    )


def _check(board: Board, work: Work, budget: Budget) -> None:
    def require(condition: bool, field: str, value: object, accepted: str) -> None:
        if not condition:
            raise InputError("not accepted", field=field, value=value, accepted=accepted)

    require(1 <= work.tokens <= 1 << 16, "--tokens", work.tokens, "1 to 65536")
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


def _impossible(search: Search, budget: Budget) -> InputError:
    """The answer to a budget that no design meets: the best that the board can do."""
    name, lowest = search.board.name, 1 / HIGHEST_COMPRESSION
    if budget.kind is BudgetKind.LATENCY:
        best = min(search.near_ties(lowest, ANY), key=lambda d: d.cycles)
        # Rounded up, so that asking for it succeeds.
        milliseconds = ceil(best.latency_ms * 1000) / 1000
        return InputError(
            f"{name} cannot reach {budget.value:g} ms",
            field="--latency-ms",
            value=budget.value,
            accepted=f"{milliseconds:g} ms or more (a {best.accelerator.shape} array at"
            f" {HIGHEST_COMPRESSION:g}× compression)",
        )
    roomiest = max(search.candidates, key=search.density_that_memory_allows)
    if search.density_that_memory_allows(roomiest):
        design = search.evaluate(roomiest.accelerator, lowest)
        best_case = f"{len(design.layers) - design.streamed} of {len(design.layers)} matrices do"
    else:
        best_case = f"the activations of {search.work.tokens} tokens alone do not"
    return InputError(
        f"the weights do not fit on the chip of {name} even at {HIGHEST_COMPRESSION:g}× compression: {best_case}",
        field="--fit",
        value="on-chip",
        accepted="another board, fewer layers or tokens, or weights in external memory (--compression, --latency-ms)",
    )
