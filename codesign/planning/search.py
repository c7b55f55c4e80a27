"""The search: every array of the grid is a candidate, worked out in the order of what it can reach at best."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import ceil, gcd
from typing import Any

from codesign.boards import Board, DspType
from codesign.errors import InputError
from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.hardware.arrays import encoder_memories
from codesign.hardware.cycles import fetch_cycles, pipeline_stages, token_groups
from codesign.hardware.dsp import dsp_packing, packing_choices
from codesign.hardware.images import block_words
from codesign.hardware.memories import BRAM18_BITS, URAM_BITS, URAM_WORDS, Storage, bram18, ceil_div, uram
from codesign.hardware.predict import Beside, Design, predict, sparsify, tightest
from codesign.hardware.resources import (
    Placed,
    Resources,
    engine_dsps,
    priced_memories,
    resources_but_memories,
    total,
    usable_resources,
    weight_resources,
)
from codesign.hardware.run import evenly
from codesign.models import Matrix
from codesign.numerics import ACTIVATION_BITS
from codesign.planning.work import Budget, BudgetKind, Granularity, Work
from codesign.program.estimate import beside, beside_cycles, layout_of
from codesign.program.sentence import sentence_cycles

WIDEST_STREAM = 512
"""Bits of a stream, the most: as wide as the memory ports of Alveo cards."""
NEAR_TIE = 0.05
"""Designs within this fraction of the fastest are near ties, which go to the smaller block."""

BLOCK_SIDES = (4, 8, 12, 16, 24, 32, 48, 64)
"""R and C of the search: divisors of the usual hidden sizes, from where index words cost too much (below 4) to
where whole blocks cost too much accuracy (above 64)."""

LONG_SIDES = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""R of one-column groups, C of one-row groups."""

HIGHEST_COMPRESSION = 50.0
DENSITY_STEPS = 1000
LOWEST_STEP = ceil(DENSITY_STEPS / HIGHEST_COMPRESSION)
_STORAGES = ((Storage.BRAM, None), (Storage.BRAM, Storage.URAM), (Storage.URAM, None))
"""Of activations, and of sums and results where it is not the same."""
_NEAREST = 8  # arrays that are tried with shorter sentences where none holds the longest
_WORTH_A_LOOK = 0.97  # a candidate that cannot be 3 % denser is not worked out


Progress = Callable[[str], Callable[[Iterator[Any], int], Iterator[Any]]]
"""Given what is going on, what passes the items on and shows how many of them have passed."""


def silent(_: str) -> Callable[[Iterator[Any], int], Iterator[Any]]:
    """Shows nothing."""
    return lambda items, _: items


def every_design(board: Board, work: Work, density: float) -> Iterator[Design]:
    """Every design of the search grid that fits the board, one by one: what the search must not miss the best of."""
    search = Search(board, work)
    for candidate in search.candidates:
        design = search.evaluate(candidate.accelerator, density)
        if design.resources.fits(search.limit):
            yield design


@dataclass(frozen=True)
class Target:
    """A budget as the search sees it.

    Attributes:
        searched: Whether the density is to be found, rather than given.
        meets: Whether a design meets the budget.
        upper: A density above which a candidate surely does not.
        may: A quick check at one density: False where a candidate surely does not.
    """

    searched: bool
    meets: Callable[[Design], bool]
    upper: Callable[[Candidate], float] = lambda _: 1.0
    may: Callable[[Candidate, float], bool] = lambda _, __: True


def target(search: Search, budget: Budget) -> Target:
    """What a budget means for a search."""
    if budget.kind is BudgetKind.LATENCY:
        milliseconds = budget.value or 0.0
        return Target(
            searched=True,
            # In a first approximation: the chosen one's exact cycles are held against it.
            meets=lambda d: d.estimated_ms <= milliseconds,
            upper=lambda c: (milliseconds * 1000 * c.accelerator.clock_mhz - c.fixed_cycles) / c.product_cycles,
        )
    if budget.kind is BudgetKind.ON_CHIP:
        return Target(
            searched=True,
            meets=lambda d: d.on_chip,
            upper=search.density_that_memory_allows,
            may=search.may_fit_on_chip,
        )
    return ANY


ANY = Target(searched=False, meets=lambda _: True)


@dataclass(frozen=True)
class Candidate:
    """One array of the grid.

    Attributes:
        accelerator: The design.
        dsps: DSPs that it takes.
        product_cycles: Cycles of the dense matrices' products, if nothing else ever took longer.
        fixed_cycles: A lower bound of what comes on top at any density: what an encoder does beside them; pipeline
            and last requantisation of each matrix, less the one block by which rounding to whole blocks may undercut
            the density.
    """

    accelerator: Accelerator
    dsps: int
    product_cycles: int
    fixed_cycles: int

    def at_best(self, density: float) -> float:
        """A lower bound of the cycles at a density."""
        return self.product_cycles * density + self.fixed_cycles


class Search:
    """One search: the candidates of a board and a piece of work, and what has been predicted of them."""

    def __init__(self, board: Board, work: Work, shown: Progress = silent) -> None:
        self.board = board
        self.work = work
        self.shown = shown
        self.tokens = work.tokens * work.batch
        self.limit = usable_resources(board)
        shapes = Counter((m.out_features, m.in_features) for m in work.matrices)
        self.distinct = {Matrix("", *shape): count for shape, count in shapes.items()}
        self.activations = sum(m.activation for m in work.matrices)
        self._designs: dict[tuple[Accelerator, float], Design] = {}
        self._runs: dict[tuple[Accelerator, float], int] = {}
        self._besides: dict[Accelerator, Beside] = {}
        self._logic: dict[Accelerator, Resources] = {}
        self._fixed: dict[Accelerator, Resources] = {}
        self.candidates = sorted(_candidates(board, work), key=lambda c: (c.at_best(1.0), c.dsps))

    def holds_a_sentence(self, candidates: Sequence[Candidate], density: float) -> bool:
        """Whether any of these arrays fits the board, with its buffers and so much of the weights."""
        return any(self._feasible(candidate, density) for candidate in candidates)

    def fixed(self, accelerator: Accelerator) -> Resources:
        """What a design takes without weight, index and constant memories."""
        if accelerator not in self._fixed:
            plain, dsp_type = _plain(accelerator), self.board.device.dsp_type
            sizes = self._beside(accelerator).sizes
            if plain not in self._logic:
                self._logic[plain] = total(resources_but_memories(plain, dsp_type, self.activations, sizes))
            memories = total(priced_memories(encoder_memories(accelerator, sizes), dsp_type))
            self._fixed[accelerator] = self._logic[plain] + memories
        return self._fixed[accelerator]

    def _beside(self, accelerator: Accelerator) -> Beside:
        plain = _plain(accelerator)
        if plain not in self._besides:
            self._besides[plain] = beside(plain, self.work.shape)
        return self._besides[plain]

    def fits(self, accelerator: Accelerator) -> bool:
        """Whether there is a chance that the design fits."""
        logic = self._logic.get(_plain(accelerator))
        return (logic is None or logic.fits(self.limit)) and self.fixed(accelerator).fits(self.limit)

    def density_that_memory_allows(self, candidate: Candidate) -> float:
        """The density at which the weights alone fill what the rest of the design leaves of the memories.

        Zero for designs with more ports than a design on chip has use for.
        """
        accelerator = candidate.accelerator
        if accelerator.axi_ports > 1 or not self.fits(accelerator):
            return 0.0
        used = self.fixed(accelerator)
        free = (self.limit.bram18 - used.bram18) * BRAM18_BITS + (self.limit.uram - used.uram) * URAM_BITS
        return free / (sum(m.weights for m in self.work.matrices) * self.work.weight_bits)

    def may_fit_on_chip(self, candidate: Candidate, density: float) -> bool:
        """Whether all weights would fit on chip if URAM could be filled to its last word."""
        accelerator = candidate.accelerator
        left = self.limit.uram - self.fixed(accelerator).uram
        capacity = left // uram(accelerator.weight_port_bits, 1) * URAM_WORDS
        sparse = sparsify(accelerator, self.distinct, density)
        placed = [Placed(s, WeightMemory.BRAM, n) for s, n in zip(sparse, self.distinct.values(), strict=True)]
        words = block_words(accelerator) * sum(p.sparse.nonzero_blocks * p.count for p in placed)
        sizes = self._beside(accelerator).sizes
        constants = weight_resources(accelerator, self.board.device.dsp_type, placed, sizes)["engine_core"]
        in_bram = bram18(accelerator.weight_port_bits, max(words - capacity, 0))
        return self.fixed(accelerator).bram18 + constants.bram18 + in_bram <= self.limit.bram18

    def evaluate(self, accelerator: Accelerator, density: float) -> Design:
        """The design at a density, predicted once."""
        key = (accelerator, density)
        if key not in self._designs:
            sparse = sparsify(accelerator, self.work.matrices, density)
            self._designs[key] = predict(accelerator, self.board, sparse, self.tokens, self._beside(accelerator))
        return self._designs[key]

    def exact_cycles(self, accelerator: Accelerator, density: float) -> int:
        """What all sentences of a batch take, from start to last output, blocks spread evenly; worked out once."""
        key = (accelerator, density)
        if key not in self._runs:
            matrices, work = evenly(self.evaluate(accelerator, density)), self.work
            self._runs[key] = sentence_cycles(accelerator, self.board, work.shape, matrices, work.tokens, work.batch)
        return self._runs[key]

    def _feasible(self, candidate: Candidate, density: float) -> Design | None:
        if not self.fits(candidate.accelerator):
            return None
        design = self.evaluate(candidate.accelerator, density)
        return design if design.resources.fits(self.limit) else None

    def _passes(self, candidate: Candidate, density: float, target: Target) -> bool:
        if target.upper(candidate) < density or not target.may(candidate, density):
            return False
        design = self._feasible(candidate, density)
        return design is not None and target.meets(design)

    def highest_density(self, target: Target) -> float | None:
        """The highest density at which any candidate meets the budget, to 3 %; None where none does."""
        best = 0
        bounds = [(min(1.0, target.upper(c)), c) for c in self.candidates]
        bounds.sort(key=lambda b: (-b[0], b[1].at_best(1.0)))
        for bound, candidate in self.shown("the highest density")(iter(bounds), len(bounds)):
            ceiling = int(bound * DENSITY_STEPS)
            goal = max(ceil(best / _WORTH_A_LOOK), best + 1, LOWEST_STEP)
            if ceiling < goal:
                break
            if self._passes(candidate, goal / DENSITY_STEPS, target):
                best = self._highest_step(candidate, target, goal, ceiling)
        return best / DENSITY_STEPS if best else None

    def _highest_step(self, candidate: Candidate, target: Target, low: int, high: int) -> int:
        """The highest density step from ``low``, which passes, to ``high`` that passes."""
        if self._passes(candidate, high / DENSITY_STEPS, target):
            return high
        while low < high - 1:
            middle = (low + high) // 2
            if self._passes(candidate, middle / DENSITY_STEPS, target):
                low = middle
            else:
                high = middle
        return low

    def densest(self, accelerator: Accelerator, target: Target, floor: float) -> float:
        """The highest density at which a design that meets the budget at ``floor`` still does."""
        bits, ports = accelerator.weight_port_bits, accelerator.axi_ports
        candidate = next(
            c
            for c in self.candidates
            if replace(c.accelerator, weight_port_bits=bits, axi_ports=ports) == accelerator
        )
        candidate = replace(candidate, accelerator=accelerator)
        step = self._highest_step(candidate, target, int(floor * DENSITY_STEPS), DENSITY_STEPS)
        return max(step / DENSITY_STEPS, floor)

    def widened(self, accelerator: Accelerator, density: float, target: Target) -> Accelerator:
        """The same array with the widest ways for weights that cost nothing that was wanted.

        Sentences of all tokens do not wait for weights; those of few tokens do, at up to a block per cycle.
        """
        now, beat = self.evaluate(accelerator, density), accelerator.axi_port_bits

        def waited(design: Design) -> int:
            """Cycles for which a sentence of one token group has the weights' ways."""
            a, rate = design.accelerator, self.board.read_bytes_per_second
            return sum(x.nonzero_blocks * fetch_cycles(a, x.weight_memory, rate) for x in design.layers)

        most = _power_of_two_at_most(self.board.axi.ports) if now.streamed else accelerator.axi_ports
        widest = _power_of_two_at_least(accelerator.block_bits)
        ways = product(_doubled(accelerator.axi_ports, most), _doubled(accelerator.weight_port_bits, widest))
        found = []
        for ports, bits in ways:
            one = replace(accelerator, axi_ports=ports, weight_port_bits=max(bits, ports * beat))
            design = self.evaluate(one, density)
            if design.resources.fits(self.limit) and target.meets(design) and design.streamed <= now.streamed:
                found.append((waited(design), ports, bits, one))
        for _, _, _, one in sorted(found, key=lambda way: way[:3]):
            if self.exact_cycles(one, density) <= self.exact_cycles(accelerator, density):
                return one
        return accelerator

    def _each(self, what: str, candidates: list[Candidate] | None = None) -> Iterator[Candidate]:
        """Candidates one after another, shown as they pass."""
        every = self.candidates if candidates is None else candidates
        return self.shown(what)(iter(every), len(every))

    def near_ties(self, density: float, target: Target) -> list[Design]:
        """The fastest design at a density that meets the budget, and all that are near ties of it."""
        found: list[Design] = []
        best = float("inf")
        for candidate in self._each("the fastest arrays"):
            if candidate.at_best(density) > best * (1 + NEAR_TIE):
                continue
            if self._passes(candidate, density, target):
                found.append(self.evaluate(candidate.accelerator, density))
                best = min(best, found[-1].estimated_cycles)
        if not found:
            raise too_large(self, density)
        return [design for design in found if design.estimated_cycles <= best * (1 + NEAR_TIE)]

    def pareto(self, density: float) -> list[Design]:
        """The fastest design of each block shape, and those that no other beats in both DSPs and latency.

        Near ties of a design already found are not looked for.
        """
        found: list[Design] = []
        best_of_block: dict[tuple[int, int], int] = {}
        for candidate in self._each("other block shapes"):
            block = candidate.accelerator.block
            best = best_of_block.get(block)
            if best is not None and candidate.at_best(density) > best * (1 - NEAR_TIE):
                continue
            design = self._feasible(candidate, density)
            if design is not None and (best is None or design.estimated_cycles < best):
                best_of_block[block] = design.estimated_cycles
                found.append(design)
        frontier = float("inf")
        by_dsps = sorted(self.candidates, key=lambda c: (c.dsps, c.at_best(density)))
        for candidate in self._each("smaller arrays", by_dsps):
            if candidate.at_best(density) > frontier * (1 - NEAR_TIE):
                continue
            design = self._feasible(candidate, density)
            if design is not None and design.estimated_cycles < frontier:
                frontier = design.estimated_cycles
                found.append(design)
        return found

    def limits_of_next_larger(self, now: Accelerator, density: float) -> tuple[str, ...]:
        """The resources that the next array with more lanes and the same block would exceed."""
        groups = token_groups(now, now.max_tokens)
        if groups == 1:
            return ()
        lanes = ceil_div(now.max_tokens, groups - 1)
        port_bits, axi_ports = _weight_path(self.board, now.block_bits, groups - 1, now.clock_mhz)
        port_bits = max(port_bits, axi_ports * self.board.axi.port_bits)
        larger = replace(
            now,
            lanes=lanes,
            weight_port_bits=port_bits,
            axi_ports=axi_ports,
            vector_width=now.vector_rows * lanes,
        )
        return self.evaluate(larger, density).resources.exceeding(self.limit)


def _plain(accelerator: Accelerator) -> Accelerator:
    """An array whatever its memories are made of."""
    return replace(accelerator, activation_memory=Storage.BRAM, sum_memory=None)


def _power_of_two_at_least(value: float) -> int:
    return 1 << max(ceil(value) - 1, 0).bit_length()


def _weight_path(board: Board, block_bits: int, groups: int, clock_mhz: float) -> tuple[int, int]:
    """(on-chip port bits, most AXI ports): wide enough to fetch a block in the shadow of the one before, no wider."""
    needed = block_bits / groups
    per_cycle = 8 * board.read_bytes_per_second / (clock_mhz * 1e6)
    ports = ceil(min(needed, per_cycle) / board.axi.port_bits)
    most = _power_of_two_at_most(max(1, min(ports, board.axi.ports)))
    return max(8, _power_of_two_at_least(needed)), most


def _stream_bits(board: Board, features: int, lanes: int) -> int:
    """Streams as wide as the words of so many features of all lanes that pass them, within reason."""
    word = features * lanes * ACTIVATION_BITS
    return min(max(_power_of_two_at_least(word), board.axi.port_bits), WIDEST_STREAM)


def _doubled(low: int, high: int) -> list[int]:
    """From the lower number on, doubled as long as the higher one allows."""
    found = [low]
    while 2 * found[-1] <= high:
        found.append(2 * found[-1])
    return found


def _power_of_two_at_most(value: int) -> int:
    return 1 << (value.bit_length() - 1)


def _candidates(board: Board, work: Work) -> Iterator[Candidate]:
    """Every array of the grid whose DSPs the board has."""
    dsp_type = board.device.dsp_type
    available = usable_resources(board).dsp
    clock = work.clock_mhz or board.clock.default_mhz
    storages = _STORAGES if board.device.uram else _STORAGES[:1]
    shapes = Counter((m.out_features, m.in_features) for m in work.matrices)
    for rows, cols in _blocks(work):
        blocks = sum(count * ceil_div(n, rows) * ceil_div(k, cols) for (n, k), count in shapes.items())
        for products, (groups, lanes) in product(_packings(dsp_type, work.weight_bits), _lane_choices(work.tokens)):
            port_bits, most_ports = _weight_path(board, rows * cols * work.weight_bits, groups, clock)
            # A port costs logic and buffers: fewer may leave room for what is worth more.
            every_ports = [1 << n for n in range(most_ports.bit_length())]
            for interval, vector in _drains(work, rows, cols):
                accelerator = Accelerator(
                    rows=rows,
                    cols=cols,
                    lanes=lanes,
                    weight_bits=work.weight_bits,
                    dsp_packing=products,
                    clock_mhz=clock,
                    max_tokens=work.tokens,
                    weight_port_bits=max(port_bits, board.axi.port_bits),
                    axi_ports=1,
                    axi_port_bits=board.axi.port_bits,
                    stream_bits=_stream_bits(board, max(cols, vector), lanes),
                    requant_interval=interval,
                    vector_width=vector * lanes,
                )
                dsps = engine_dsps(accelerator, dsp_type)
                if dsps > available:
                    # As fast, for more LUTs: only where it has to be.
                    accelerator = replace(accelerator, lut_sums=True)
                    dsps = engine_dsps(accelerator, dsp_type)
                if dsps > available:
                    continue
                pipeline = pipeline_stages(accelerator, dsp_type) + groups * (interval - 1)
                fixed = len(work.matrices) * pipeline + beside_cycles(
                    layout_of(accelerator, work.shape), work.shape.layers
                )
                for (storage, sums), ports in product(storages, every_ports):
                    # A beat of external memory is at most a word of weights.
                    wide = max(port_bits, ports * board.axi.port_bits)
                    memories = {"activation_memory": storage, "sum_memory": sums}
                    one = replace(accelerator, **memories, axi_ports=ports, weight_port_bits=wide)
                    yield Candidate(one, dsps, work.batch * blocks * groups, work.batch * fixed)


def _drains(work: Work, rows: int, cols: int) -> list[tuple[int, int]]:
    """(Q, V): how results leave the array, features of the vector unit; as a head and the array's columns allow."""
    common = gcd(cols, work.shape.hidden // work.shape.heads)
    drained = [d for d in range(1, rows + 1) if rows % d == 0 and common % d == 0]
    return [(rows // d, v) for d in drained for v in range(d, cols + 1, d) if cols % v == 0]


def too_large(search: Search, density: float) -> InputError:
    """What to say where no array holds a sentence: the longest that one holds."""
    board, work = search.board, search.work
    name = "no array of the search"
    if work.block is not None:
        name = f"no array with blocks of {work.block[0]}×{work.block[1]}"
    nearest = sorted(search.candidates, key=lambda c: tightest(search.fixed(c.accelerator), board)[1])[:_NEAREST]
    fitting = 0
    for step in (1 << n for n in reversed(range(work.tokens.bit_length()))):
        tokens = fitting + step
        shorter = [replace(c, accelerator=replace(c.accelerator, max_tokens=tokens)) for c in nearest]
        if tokens < work.tokens and search.holds_a_sentence(shorter, density):
            fitting = tokens
    if not fitting:
        return InputError(
            f"{name} fits this board",
            file=board.name,
            field="device",
            accepted="a larger board or a smaller model",
        )
    return InputError(
        f"{name} on {board.name} has room for sentences of so many tokens",
        field="--tokens",
        value=work.tokens,
        accepted=f"{fitting} or fewer, a larger board or a smaller model",
    )


def _blocks(work: Work) -> list[tuple[int, int]]:
    if work.block is not None:
        return [work.block]
    if work.granularity is Granularity.COLUMN:
        return [(side, 1) for side in LONG_SIDES]
    if work.granularity is Granularity.ROW:
        return [(1, side) for side in LONG_SIDES]
    return [(rows, cols) for rows in BLOCK_SIDES for cols in BLOCK_SIDES]


def _packings(dsp_type: DspType, weight_bits: int) -> Iterator[int]:
    # K and V have eight bits: no four products per DSP.
    for products in (p for p in packing_choices(weight_bits) if p <= 2):
        try:
            dsp_packing(dsp_type, weight_bits, products)
        except InputError:
            continue
        yield products


def _lane_choices(tokens: int) -> list[tuple[int, int]]:
    """(token groups, lanes): for each number of groups the fewest lanes that reach it."""
    fewest: dict[int, int] = {}
    for lanes in range(1, tokens + 1):
        fewest.setdefault(ceil_div(tokens, lanes), lanes)
    return sorted(fewest.items())
