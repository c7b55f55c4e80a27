"""The planner: which array to build on a board for a model, at what density, with what outcome.

Every array of the search grid is a candidate. A budget turns each candidate into a density: the compression
asked for, or the densest model that meets the latency or fits on chip. Candidates are chosen by density first
(a denser model is a more accurate one), by latency next, and near ties go to the smaller block, because small
blocks cost less accuracy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache, cached_property
from itertools import product
from math import ceil

from codesign.boards import Board, DspType
from codesign.errors import InputError
from codesign.hardware.accelerator import (
    WEIGHT_BITS,
    Accelerator,
    SparseMatrix,
    WeightMemory,
    block_grid,
    spread_evenly,
)
from codesign.hardware.cycles import (
    block_row_cycles,
    external_bytes_per_cycle,
    external_weight_bytes,
    fetch_cycles,
    matrix_cycles,
    token_groups,
)
from codesign.hardware.dsp import dsp_packing, packing_choices
from codesign.hardware.images import block_words
from codesign.hardware.memories import BRAM18_BITS, URAM_BITS, URAM_WORDS, Storage, bram18, ceil_div, uram
from codesign.hardware.placement import place
from codesign.hardware.resources import (
    RESOURCES,
    Placed,
    Resources,
    array_dsps,
    buffer_resources,
    engine_resources,
    requantiser_dsps,
    total,
    usable_resources,
    weight_resources,
)
from codesign.models import EncoderShape, Matrix
from codesign.numerics import ACTIVATION_BITS, longest_sum

NEAR_TIE = 0.05
"""Designs within this fraction of the fastest are near ties, which go to the smaller block."""

NEARLY_AS_DENSE = 0.10
"""Where a budget leaves the density open, designs within this fraction of the densest are weighed by latency and
block. Halving the block's area buys about as much accuracy as 10 % more blocks (huggingface/nn_pruning, README and
results_squadv1.json: MNLI 83.71 / 82.69 at 65 / 81 % pruned, SQuAD F1 87.37 / 86.58 with 4×4 / 16×16 blocks)."""

BLOCK_SIDES = (4, 8, 12, 16, 24, 32, 48, 64)
"""R and C of the search: divisors of the usual hidden sizes, from where index words cost too much (below 4) to
where whole blocks cost too much accuracy (above 64)."""

LONG_SIDES = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""R of one-column groups, C of one-row groups."""

SMALLEST_TILE = 16
"""Shortest token tile that is tried where the buffers cannot hold a sentence."""

HIGHEST_COMPRESSION = 50.0
_DENSITY_STEPS = 1000
_WORTH_A_LOOK = 0.97  # a candidate that cannot be 3 % denser is not worked out


class Granularity(StrEnum):
    """What the pruner's groups are; the array always has the same shape."""

    BLOCK = "block"  # R×C
    COLUMN = "column"  # R×1: one column of a block row
    ROW = "row"  # 1×C: one row's segment


class BudgetKind(StrEnum):
    """What the plan must reach."""

    DENSE = "dense"
    COMPRESSION = "compression"
    LATENCY = "latency"
    ON_CHIP = "on-chip"


@dataclass(frozen=True)
class Budget:
    """The plan's budget; ``value`` is a factor for compression, milliseconds for latency."""

    kind: BudgetKind = BudgetKind.DENSE
    value: float | None = None

    def __str__(self) -> str:
        text = {
            BudgetKind.DENSE: "none (dense)",
            BudgetKind.COMPRESSION: f"{self.value:g}× compression" if self.value else "",
            BudgetKind.LATENCY: f"{self.value:g} ms" if self.value else "",
            BudgetKind.ON_CHIP: "all weights on chip",
        }
        return text[self.kind]


@dataclass(frozen=True)
class Work:
    """What is to be planned.

    Attributes:
        shape: The encoder.
        tokens: Tokens of a sentence.
        batch: Sentences worked on together.
        weight_bits: 8 or 4.
        granularity: What the pruner's groups are.
        clock_mhz: Clock of the array; None for the board's default.
    """

    shape: EncoderShape
    tokens: int = 128
    batch: int = 1
    weight_bits: int = 8
    granularity: Granularity = Granularity.BLOCK
    clock_mhz: float | None = None

    @cached_property
    def matrices(self) -> tuple[Matrix, ...]:
        """The encoder's weight matrices."""
        return tuple(self.shape.matrices())


@dataclass(frozen=True)
class LayerPlan:
    """One matrix in a plan.

    ``bound`` says what its cycles are spent on: ``compute``, ``weight bandwidth``, ``activation bandwidth`` or
    ``requantisation``. ``macs_per_byte`` is its place on the roofline: executed multiply-accumulates per byte
    of external memory, None where nothing is read from there.
    """

    name: str
    out_features: int
    in_features: int
    blocks: int
    nonzero_blocks: int
    predicted_cycles: int
    weight_memory: WeightMemory
    bound: str
    macs_per_byte: float | None


@dataclass(frozen=True)
class Run:
    """What is predicted of ``placed.count`` matrices alike in the same memory, each."""

    placed: Placed
    cycles: int
    bound: str
    macs_per_byte: float | None


@dataclass(frozen=True)
class Design:
    """One array with the matrices it runs, fully predicted.

    Attributes:
        accelerator: The design.
        runs: The prediction, by matrices alike.
        sparse: The matrices in the order of use.
        parts: Resources by unit.
        activations_on_chip: Whether a sentence's activations stay on chip between matrices.
    """

    accelerator: Accelerator
    runs: tuple[Run, ...]
    sparse: tuple[SparseMatrix, ...]
    parts: dict[str, Resources]
    activations_on_chip: bool

    @cached_property
    def resources(self) -> Resources:
        """What the design takes of the device."""
        return total(self.parts)

    @cached_property
    def cycles(self) -> int:
        """Cycles of all matrices, one after another."""
        return sum(run.cycles * run.placed.count for run in self.runs)

    @property
    def latency_ms(self) -> float:
        """Milliseconds for the whole batch."""
        return self.cycles / self.accelerator.clock_mhz / 1000

    @property
    def on_chip(self) -> bool:
        """Whether neither weights nor, between matrices, activations are in external memory."""
        return self.activations_on_chip and all(r.placed.memory is not WeightMemory.DDR for r in self.runs)

    @cached_property
    def blocks(self) -> int:
        """All blocks of all matrices, pruned ones included."""
        return sum(r.placed.sparse.blocks * r.placed.count for r in self.runs)

    @cached_property
    def nonzero_blocks(self) -> int:
        """Blocks that are kept."""
        return sum(r.placed.sparse.nonzero_blocks * r.placed.count for r in self.runs)

    @property
    def density(self) -> float:
        """Kept blocks over all blocks; compression is its inverse."""
        return self.nonzero_blocks / self.blocks

    @cached_property
    def layers(self) -> tuple[LayerPlan, ...]:
        """The prediction matrix by matrix, in the order of use."""
        waiting: dict[object, list[Run]] = {}
        for run in self.runs:
            waiting.setdefault(_alike(run.placed.sparse), []).extend([run] * run.placed.count)
        layers = []
        for s in self.sparse:
            run = waiting[_alike(s)].pop(0)
            layers.append(
                LayerPlan(
                    name=s.matrix.name,
                    out_features=s.matrix.out_features,
                    in_features=s.matrix.in_features,
                    blocks=s.blocks,
                    nonzero_blocks=s.nonzero_blocks,
                    predicted_cycles=run.cycles,
                    weight_memory=run.placed.memory,
                    bound=run.bound,
                    macs_per_byte=run.macs_per_byte,
                )
            )
        return tuple(layers)


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
        next_larger: What stops the next larger array of this block: resources, or "" where none is larger.
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


def sparsify(accelerator: Accelerator, matrices: Iterable[Matrix], density: float) -> tuple[SparseMatrix, ...]:
    """Every matrix at the same density, blocks spread evenly over block rows, at least one block each."""
    rows, cols = accelerator.block
    return tuple(
        SparseMatrix(matrix, *_even_blocks(matrix.out_features, matrix.in_features, rows, cols, density))
        for matrix in matrices
    )


@cache  # encoders repeat a few shapes, and a search asks for each many times
def _even_blocks(
    out_features: int, in_features: int, rows: int, cols: int, density: float
) -> tuple[int, tuple[tuple[int, int], ...]]:
    matrix = Matrix("", out_features, in_features)
    grid_rows, grid_cols = block_grid(matrix, rows, cols)
    sparse = spread_evenly(matrix, rows, cols, max(1, int(grid_rows * grid_cols * density + 1e-9)))
    return sparse.blocks, sparse.rows


def _alike(sparse: SparseMatrix) -> tuple[int, int, tuple[tuple[int, int], ...]]:
    """What two matrices must share to cost the same."""
    return sparse.matrix.out_features, sparse.matrix.in_features, sparse.rows


def predict(
    accelerator: Accelerator,
    board: Board,
    sparse: Sequence[SparseMatrix],
    tokens: int,
    sentence: int | None = None,
) -> Design:
    """Everything that the hardware model says of a design, whether it fits the board or not.

    Args:
        accelerator: The design.
        board: The board it is for.
        sparse: The matrices with their nonzero blocks.
        tokens: M, tokens that pass each matrix (sentence length × batch).
        sentence: Tokens that attention needs together; where the buffers hold fewer, activations cross external
            memory between matrices. Default: all tokens.
    """
    dsp_type = board.device.dsp_type
    rate = board.read_bytes_per_second
    streamed = accelerator.max_tokens < min(sentence or tokens, tokens)

    # Encoders repeat a few shapes: each is placed and worked out once.
    first: dict[object, SparseMatrix] = {}
    counts: Counter[object] = Counter()
    for s in sparse:
        first.setdefault(_alike(s), s)
        counts[_alike(s)] += 1
    alike = [(s, counts[key]) for key, s in first.items()]

    parts = engine_resources(accelerator, dsp_type) | buffer_resources(accelerator, [s for s, _ in alike])
    placed = place(accelerator, alike, total(parts), usable_resources(board))
    parts |= weight_resources(accelerator, placed)
    runs = tuple(
        Run(
            p,
            matrix_cycles(accelerator, dsp_type, p.sparse, tokens, p.memory, rate, streamed_activations=streamed),
            *_roofline(accelerator, p.sparse, tokens, p.memory, rate, streamed),
        )
        for p in placed
    )
    return Design(accelerator, runs, tuple(sparse), parts, not streamed)


def _roofline(
    accelerator: Accelerator,
    sparse: SparseMatrix,
    tokens: int,
    memory: WeightMemory,
    bytes_per_second: float,
    streamed: bool,
) -> tuple[str, float | None]:
    """(what bounds the matrix, executed multiply-accumulates per external byte)."""
    tile = min(tokens, accelerator.max_tokens)
    groups = token_groups(accelerator, tile)
    fetch = fetch_cycles(accelerator, memory, bytes_per_second)
    weight_bytes = external_weight_bytes(accelerator, sparse) if memory is WeightMemory.DDR else 0
    features = sparse.matrix.in_features + sparse.matrix.out_features
    activation_bytes = features * tile * ACTIVATION_BITS // 8 if streamed else 0
    crossing = weight_bytes + activation_bytes
    summing = sum(n * block_row_cycles(accelerator, blocks, groups, fetch) for blocks, n in sparse.rows)
    waiting = ceil(crossing / external_bytes_per_cycle(accelerator, bytes_per_second)) if crossing else 0
    computing = sparse.nonzero_blocks * groups
    if waiting > summing:
        bound = "activation bandwidth" if activation_bytes > weight_bytes else "weight bandwidth"
    elif fetch > groups:
        bound = "weight bandwidth"
    elif summing > computing:
        bound = "requantisation"
    else:
        bound = "compute"
    macs = sparse.nonzero_blocks * accelerator.block_area * tile
    return bound, macs / crossing if crossing else None


def make_plan(board: Board, work: Work, budget: Budget | None = None) -> Plan:
    """Search every array and block shape for the best plan.

    Raises:
        InputError: An argument is out of range, no array fits the board, or the budget cannot be met; the
            message says what is the best that the board can do.
    """
    budget = budget or Budget()
    _check(board, work, budget)
    search = _Search(board, work)
    target = _target(search, budget)
    density = search.highest_density(target) if target.searched else 1 / (budget.value or 1.0)
    if density is None:
        raise _impossible(search, budget)
    # Candidates that come near the highest density are admitted; the chosen one then gets its own highest.
    if target.searched and density < 1:
        density *= 1 - NEARLY_AS_DENSE
    near = search.near_ties(density, target)
    limit = usable_resources(board)
    choice = min(near, key=lambda d: (d.accelerator.block_area, d.cycles, _tightest(d.resources, limit)[1]))
    if target.searched:
        density = search.densest(choice.accelerator, target, density)
    chosen = search.evaluate(choice.accelerator, density)
    pareto = search.pareto(density)
    others: dict[tuple[int, int], Design] = {}
    for design in sorted(pareto, key=lambda d: d.cycles):
        if target.meets(design):
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


def every_design(board: Board, work: Work, density: float) -> Iterator[Design]:
    """Every design of the search grid that fits the board, one by one: what the search must not miss the best of."""
    search = _Search(board, work)
    for candidate in search.candidates:
        design = search.evaluate(candidate.accelerator, density)
        if design.resources.fits(search.limit):
            yield design


@dataclass(frozen=True)
class _Target:
    """A budget as the search sees it.

    Attributes:
        searched: Whether the density is to be found, rather than given.
        meets: Whether a design meets the budget.
        upper: A density above which a candidate surely does not.
        may: A quick check at one density: False where a candidate surely does not.
    """

    searched: bool
    meets: Callable[[Design], bool]
    upper: Callable[[_Candidate], float] = lambda _: 1.0
    may: Callable[[_Candidate, float], bool] = lambda _, __: True


def _target(search: _Search, budget: Budget) -> _Target:
    if budget.kind is BudgetKind.LATENCY:
        milliseconds = budget.value or 0.0
        return _Target(
            searched=True,
            meets=lambda d: d.latency_ms <= milliseconds,
            upper=lambda c: milliseconds * 1000 * c.accelerator.clock_mhz / c.ideal_cycles,
        )
    if budget.kind is BudgetKind.ON_CHIP:
        return _Target(
            searched=True,
            meets=lambda d: d.on_chip,
            upper=search.density_that_memory_allows,
            may=search.may_fit_on_chip,
        )
    return _ANY


_ANY = _Target(searched=False, meets=lambda _: True)


def _check(board: Board, work: Work, budget: Budget) -> None:
    def require(condition: bool, field: str, value: object, accepted: str) -> None:
        if not condition:
            raise InputError("not accepted", field=field, value=value, accepted=accepted)

    require(1 <= work.tokens <= 1 << 16, "--tokens", work.tokens, "1 to 65536")
    require(1 <= work.batch <= 1024, "--batch", work.batch, "1 to 1024")
    require(work.weight_bits in WEIGHT_BITS, "--weight-bits", work.weight_bits, "8 or 4")
    highest = board.clock.highest_mhz
    clock = work.clock_mhz
    require(clock is None or 0 < clock <= highest, "--clock-mhz", clock, f"above 0, at most {highest:g}")
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
        require(budget.value is not None and budget.value > 0, "--latency-ms", budget.value, "above 0")


def _impossible(search: _Search, budget: Budget) -> InputError:
    best = min(search.near_ties(1 / HIGHEST_COMPRESSION, _ANY), key=lambda d: d.cycles)
    name = search.board.name
    if budget.kind is BudgetKind.LATENCY:
        return InputError(
            f"{name} cannot reach {budget.value:g} ms",
            field="--latency-ms",
            value=budget.value,
            accepted=f"{best.latency_ms:.3g} ms or more (a {best.accelerator.shape} array at"
            f" {HIGHEST_COMPRESSION:g}× compression)",
        )
    return InputError(
        f"the weights do not fit on the chip of {name} even at {HIGHEST_COMPRESSION:g}× compression",
        field="--fit",
        value="on-chip",
        accepted="another board, fewer layers, or weights in external memory (--compression, --latency-ms)",
    )


def _tightest(resources: Resources, limit: Resources) -> tuple[str, float]:
    """The resource of which the largest part of the usable amount is taken, and that part."""
    parts = {name: getattr(resources, name) / max(getattr(limit, name), 1) for name in RESOURCES}
    name = max(parts, key=lambda key: parts[key])
    return name, parts[name]


def tightest(design: Design, board: Board) -> tuple[str, float]:
    """The resource that binds a design: of which it takes the largest part of the usable amount."""
    return _tightest(design.resources, usable_resources(board))


@dataclass(frozen=True)
class _Candidate:
    accelerator: Accelerator
    dsps: int
    ideal_cycles: int  # dense, everything hidden but the products themselves


class _Search:
    """One search: the candidates of a board and a piece of work, and what has been predicted of them."""

    def __init__(self, board: Board, work: Work) -> None:
        self.board = board
        self.work = work
        self.tokens = work.tokens * work.batch
        self.limit = usable_resources(board)
        shapes = Counter((m.out_features, m.in_features) for m in work.matrices)
        self.distinct = {Matrix("", *shape): count for shape, count in shapes.items()}
        self._designs: dict[tuple[Accelerator, float], Design] = {}
        self._fixed: dict[Accelerator, Resources] = {}
        self.candidates = sorted(_candidates(board, work), key=lambda c: (c.ideal_cycles, c.dsps))
        if not any(self.fits(c.accelerator) for c in self.candidates):
            raise InputError(
                "no array of the search fits this board",
                file=board.name,
                field="device",
                accepted="a larger board, a smaller model or fewer tokens",
            )

    def fixed(self, accelerator: Accelerator) -> Resources:
        """What a design takes without weight, index and constant memories."""
        if accelerator not in self._fixed:
            sparse = sparsify(accelerator, self.distinct, 1.0)
            engine = engine_resources(accelerator, self.board.device.dsp_type)
            self._fixed[accelerator] = total(engine) + total(buffer_resources(accelerator, sparse))
        return self._fixed[accelerator]

    def fits(self, accelerator: Accelerator) -> bool:
        """Whether there is a chance that the design fits."""
        return self.fixed(accelerator).fits(self.limit)

    def density_that_memory_allows(self, candidate: _Candidate) -> float:
        """The density at which the weights alone fill what the rest of the design leaves of the memories."""
        if candidate.accelerator.max_tokens < self.work.tokens or not self.fits(candidate.accelerator):
            return 0.0
        used = self.fixed(candidate.accelerator)
        free = (self.limit.bram18 - used.bram18) * BRAM18_BITS + (self.limit.uram - used.uram) * URAM_BITS
        return free / (sum(m.weights for m in self.work.matrices) * self.work.weight_bits)

    def may_fit_on_chip(self, candidate: _Candidate, density: float) -> bool:
        """Whether all weights would fit on chip if URAM could be filled to its last word."""
        accelerator = candidate.accelerator
        if accelerator.max_tokens < self.work.tokens or not self.fits(accelerator):
            return False
        left = self.limit.uram - self.fixed(accelerator).uram
        capacity = left // uram(accelerator.weight_port_bits, 1) * URAM_WORDS
        sparse = sparsify(accelerator, self.distinct, density)
        placed = [Placed(s, WeightMemory.BRAM, n) for s, n in zip(sparse, self.distinct.values(), strict=True)]
        words = block_words(accelerator) * sum(p.sparse.nonzero_blocks * p.count for p in placed)
        constants = weight_resources(accelerator, placed)["index and channel constants"]
        in_bram = bram18(accelerator.weight_port_bits, max(words - capacity, 0))
        return self.fixed(accelerator).bram18 + constants.bram18 + in_bram <= self.limit.bram18

    def evaluate(self, accelerator: Accelerator, density: float) -> Design:
        """The design at a density, predicted once."""
        key = (accelerator, density)
        if key not in self._designs:
            sparse = sparsify(accelerator, self.work.matrices, density)
            self._designs[key] = predict(accelerator, self.board, sparse, self.tokens, self.work.tokens)
        return self._designs[key]

    def _feasible(self, candidate: _Candidate, density: float) -> Design | None:
        if not self.fits(candidate.accelerator):
            return None
        design = self.evaluate(candidate.accelerator, density)
        return design if design.resources.fits(self.limit) else None

    def _passes(self, candidate: _Candidate, density: float, target: _Target) -> bool:
        if target.upper(candidate) < density or not target.may(candidate, density):
            return False
        design = self._feasible(candidate, density)
        return design is not None and target.meets(design)

    def highest_density(self, target: _Target) -> float | None:
        """The highest density at which any candidate meets the budget, to 3 %; None where none does."""
        best = 0
        lowest = ceil(_DENSITY_STEPS / HIGHEST_COMPRESSION)
        bounds = [(min(1.0, target.upper(c)), c) for c in self.candidates]
        for bound, candidate in sorted(bounds, key=lambda b: (-b[0], b[1].ideal_cycles)):
            ceiling = int(bound * _DENSITY_STEPS)
            goal = max(ceil(best / _WORTH_A_LOOK), best + 1, lowest)
            if ceiling < goal:
                break
            if self._passes(candidate, goal / _DENSITY_STEPS, target):
                best = self._highest_step(candidate, target, goal, ceiling)
        return best / _DENSITY_STEPS if best else None

    def _highest_step(self, candidate: _Candidate, target: _Target, low: int, high: int) -> int:
        """The highest density step from ``low``, which passes, to ``high`` that passes."""
        if self._passes(candidate, high / _DENSITY_STEPS, target):
            return high
        while low < high - 1:
            middle = (low + high) // 2
            if self._passes(candidate, middle / _DENSITY_STEPS, target):
                low = middle
            else:
                high = middle
        return low

    def densest(self, accelerator: Accelerator, target: _Target, floor: float) -> float:
        """The highest density at which a design that meets the budget at ``floor`` still does."""
        candidate = next(c for c in self.candidates if c.accelerator == accelerator)
        step = self._highest_step(candidate, target, int(floor * _DENSITY_STEPS), _DENSITY_STEPS)
        return max(step / _DENSITY_STEPS, floor)

    def near_ties(self, density: float, target: _Target) -> list[Design]:
        """The fastest design at a density that meets the budget, and all that are near ties of it."""
        found: list[Design] = []
        best = float("inf")
        for candidate in self.candidates:
            if candidate.ideal_cycles * density > best * (1 + NEAR_TIE):
                break
            if self._passes(candidate, density, target):
                found.append(self.evaluate(candidate.accelerator, density))
                best = min(best, found[-1].cycles)
        if not found:
            raise InputError(
                "no array of the search holds this model",
                file=self.board.name,
                field="device",
                accepted="a larger board, a smaller model or fewer tokens",
            )
        return [design for design in found if design.cycles <= best * (1 + NEAR_TIE)]

    def pareto(self, density: float) -> list[Design]:
        """The fastest design of each block shape, and those that no other beats in both DSPs and latency.

        Near ties of a design already found are not looked for.
        """
        found: list[Design] = []
        best_of_block: dict[tuple[int, int], int] = {}
        for candidate in self.candidates:
            block = candidate.accelerator.block
            best = best_of_block.get(block)
            if best is not None and candidate.ideal_cycles * density > best * (1 - NEAR_TIE):
                continue
            design = self._feasible(candidate, density)
            if design is not None and (best is None or design.cycles < best):
                best_of_block[block] = design.cycles
                found.append(design)
        frontier = float("inf")
        for candidate in sorted(self.candidates, key=lambda c: (c.dsps, c.ideal_cycles)):
            if candidate.ideal_cycles * density > frontier * (1 - NEAR_TIE):
                continue
            design = self._feasible(candidate, density)
            if design is not None and design.cycles < frontier:
                frontier = design.cycles
                found.append(design)
        return found

    def limits_of_next_larger(self, now: Accelerator, density: float) -> tuple[str, ...]:
        """The resources that the next array with more lanes and the same block would exceed."""
        groups = token_groups(now, now.max_tokens)
        if groups == 1:
            return ()
        lanes = ceil_div(now.max_tokens, groups - 1)
        port_bits, axi_ports = _weight_path(self.board, now.block_bits, groups - 1, now.clock_mhz)
        larger = replace(now, lanes=lanes, weight_port_bits=port_bits, axi_ports=axi_ports)
        return self.evaluate(larger, density).resources.exceeding(self.limit)


def _power_of_two_at_least(value: float) -> int:
    return 1 << max(ceil(value) - 1, 0).bit_length()


def _weight_path(board: Board, block_bits: int, groups: int, clock_mhz: float) -> tuple[int, int]:
    """(on-chip port bits, AXI ports): wide enough to fetch a block in the shadow of the one before, no wider."""
    needed = block_bits / groups
    per_cycle = 8 * board.read_bytes_per_second / (clock_mhz * 1e6)
    ports = ceil(min(needed, per_cycle) / board.axi.port_bits)
    return max(8, _power_of_two_at_least(needed)), max(1, min(ports, board.axi.ports))


def _candidates(board: Board, work: Work) -> Iterator[_Candidate]:
    """Every array of the search grid whose DSPs the board has."""
    dsp_type = board.device.dsp_type
    available = usable_resources(board).dsp
    clock = work.clock_mhz or board.clock.default_mhz
    storages = (Storage.BRAM, Storage.URAM) if board.device.uram else (Storage.BRAM,)
    shapes = Counter((m.out_features, m.in_features) for m in work.matrices)
    for rows, cols in _blocks(work.granularity):
        blocks = sum(count * ceil_div(n, rows) * ceil_div(k, cols) for (n, k), count in shapes.items())
        intervals = [q for q in (1, 2, 4, 8, 16, 32) if rows % q == 0]
        for products in _packings(dsp_type, work.weight_bits):
            for tile in _tiles(work):
                passes = ceil_div(work.tokens * work.batch, tile)
                for groups, lanes in _lane_choices(tile):
                    port_bits, axi_ports = _weight_path(board, rows * cols * work.weight_bits, groups, clock)
                    for interval, storage in product(intervals, storages):
                        accelerator = Accelerator(
                            rows=rows,
                            cols=cols,
                            lanes=lanes,
                            weight_bits=work.weight_bits,
                            dsp_packing=products,
                            clock_mhz=clock,
                            max_tokens=tile,
                            axi_port_bits=board.axi.port_bits,
                            requant_interval=interval,
                            activation_memory=storage,
                            weight_port_bits=port_bits,
                            axi_ports=axi_ports,
                        )
                        dsps = array_dsps(accelerator, dsp_type) + requantiser_dsps(accelerator, dsp_type)
                        if dsps <= available:
                            yield _Candidate(accelerator, dsps, passes * blocks * groups)


def _blocks(granularity: Granularity) -> list[tuple[int, int]]:
    if granularity is Granularity.COLUMN:
        return [(side, 1) for side in LONG_SIDES]
    if granularity is Granularity.ROW:
        return [(1, side) for side in LONG_SIDES]
    return [(rows, cols) for rows in BLOCK_SIDES for cols in BLOCK_SIDES]


def _packings(dsp_type: DspType, weight_bits: int) -> Iterator[int]:
    for products in packing_choices(weight_bits):
        try:
            dsp_packing(dsp_type, weight_bits, products)
        except InputError:
            continue
        yield products


def _tiles(work: Work) -> list[int]:
    """Token tiles: whole sentences up to the batch, and parts of one down to the smallest."""
    tiles = {work.tokens * work.batch, work.tokens}
    tile = work.tokens
    while tile < work.tokens * work.batch:
        tiles.add(tile)
        tile *= 2
    tile = work.tokens
    while tile > SMALLEST_TILE:
        tile = ceil_div(tile, 2)
        tiles.add(tile)
    return sorted(tiles, reverse=True)


def _lane_choices(tile: int) -> list[tuple[int, int]]:
    """(token groups, lanes): for each number of groups the fewest lanes that reach it."""
    fewest: dict[int, int] = {}
    for lanes in range(1, tile + 1):
        fewest.setdefault(ceil_div(tile, lanes), lanes)
    return sorted(fewest.items())
