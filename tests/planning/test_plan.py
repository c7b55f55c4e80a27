from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import ceil, log2

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.boards import Board, DspType, load_board
from codesign.errors import InputError
from codesign.hardware.accelerator import Accelerator, WeightMemory, sparse_matrix, spread_evenly
from codesign.hardware.memories import Storage
from codesign.hardware.predict import Design, predict, sparsify
from codesign.hardware.resources import engine_dsps, usable_resources
from codesign.models import EncoderShape, Matrix, parse_shape
from codesign.planning import search
from codesign.planning.plan import NEARLY_AS_DENSE, Plan, make_plan
from codesign.planning.search import NEAR_TIE
from codesign.planning.work import Budget, BudgetKind, Granularity, Work
from codesign.program.estimate import beside
from tests.conftest import changed
from tests.hardware.test_cycles import EXAMPLE

TINY = EncoderShape("tiny", "bert", hidden=48, layers=1, ffn=96, heads=2)
WIDE = EncoderShape("wide", "bert", hidden=384, layers=1, ffn=1536, heads=2)
SMALL = EncoderShape("small", "bert", hidden=128, layers=2, ffn=512, heads=2)
MINI = parse_shape("hidden=384,layers=6,ffn=1536,heads=12")
BERT = parse_shape("hidden=768,layers=12,ffn=3072,heads=12")


# The search looks for the highest density to within 3 %, in steps of 1/1000 (at the densities here: 1 % at most).
HARDLY_MORE = 1.01 / 0.97


def compression(value: float) -> Budget:
    return Budget(BudgetKind.COMPRESSION, value)


def brute_force(board: Board, work: Work, density: float) -> list[Design]:
    """Every array there is, with every number of lanes, by nested loops; only what fits."""
    limit = usable_resources(board)
    clock = board.clock.default_mhz
    designs = []
    head = work.shape.hidden // work.shape.heads
    for rows, cols in product(search.BLOCK_SIDES, search.BLOCK_SIDES):
        for lanes, products, interval, vector in product(
            range(1, work.tokens + 2), (1, 2), range(1, rows + 1), range(1, cols + 1)
        ):
            # Results leave R / Q at a time, into words of V features, which must divide a head's and C.
            drained = rows / interval
            if drained % 1 or head % drained or cols % vector or vector % drained:
                continue
            needed = rows * cols * 8 / ceil(work.tokens / lanes)  # bits per cycle that hide the fetch of a block
            memory_bits = 8 * board.read_bytes_per_second / (clock * 1e6)
            most_ports = min(board.axi.ports, max(1, ceil(min(needed, memory_bits) / board.axi.port_bits)))
            storages = [(Storage.BRAM, None), (Storage.BRAM, Storage.URAM), (Storage.URAM, None)]
            every_ports = [n for n in (1, 2, 4, 8) if n <= most_ports]
            for (storage, sums), axi_ports, luts in product(storages, every_ports, (False, True)):
                if Storage.URAM in (storage, sums) and not limit.uram:
                    continue
                accelerator = Accelerator(
                    rows=rows,
                    cols=cols,
                    lanes=lanes,
                    weight_bits=8,
                    dsp_packing=products,
                    clock_mhz=clock,
                    max_tokens=work.tokens,
                    weight_port_bits=max(8, 2 ** ceil(log2(needed)), axi_ports * board.axi.port_bits),
                    axi_ports=axi_ports,
                    axi_port_bits=board.axi.port_bits,
                    stream_bits=next(
                        bits
                        for bits in (32, 64, 128, 256, 512)
                        if bits >= board.axi.port_bits and bits >= min(512, max(vector, cols) * lanes * 8)
                    ),
                    requant_interval=interval,
                    activation_memory=storage,
                    sum_memory=sums,
                    lut_sums=luts,
                    vector_width=vector * lanes,
                )
                dsps = [
                    engine_dsps(replace(accelerator, lut_sums=way), board.device.dsp_type) for way in (False, luts)
                ]
                # Sums in LUTs are as fast and take more of all else: worth it only where the DSPs do not suffice.
                if dsps[1] > limit.dsp or (luts and dsps[0] <= limit.dsp):
                    continue
                sparse = sparsify(accelerator, work.matrices, density)
                design = predict(accelerator, board, sparse, work.tokens, beside(accelerator, work.shape))
                if design.resources.fits(limit):
                    designs.append(design)
    return designs


@pytest.mark.parametrize(
    ("board", "shape", "factor"),
    [("pynq-z2", TINY, 1.0), ("pynq-z2", WIDE, 3.0), ("ultra96-v2", TINY, 4.0), ("kv260", WIDE, 1.0)],
)
def test_the_search_misses_nothing(
    board: str, shape: EncoderShape, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "BLOCK_SIDES", (4, 12))
    work = Work(shape, tokens=14)
    loaded = load_board(board)
    plan = make_plan(loaded, work, compression(factor))
    everything = brute_force(loaded, work, 1 / factor)
    fastest = min(d.estimated_cycles for d in everything)
    assert plan.fastest.estimated_cycles == fastest
    assert min(d.estimated_cycles for d in search.every_design(loaded, work, 1 / factor)) == fastest
    near = [d for d in everything if d.estimated_cycles <= fastest * (1 + NEAR_TIE)]
    smallest = min(d.accelerator.block_area for d in near)
    assert plan.chosen.accelerator.block_area == smallest
    assert plan.chosen.estimated_cycles == min(
        d.estimated_cycles for d in near if d.accelerator.block_area == smallest
    )


@pytest.mark.parametrize(("board", "factor"), [("zcu104", 1.0), ("kv260", 4.0), ("pynq-z2", 2.0)])
def test_ways_for_weights_are_the_widest_that_cost_nothing(
    board: str, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other number of ports and width of words lets one token group wait less, and loses nothing."""
    monkeypatch.setattr(search, "BLOCK_SIDES", (8, 16))
    loaded, work = load_board(board), Work(SMALL, tokens=64)
    plan = make_plan(loaded, work, compression(factor))
    found = search.Search(loaded, work)
    chosen, density, limit = plan.chosen, 1 / factor, usable_resources(loaded)

    def waited(design: Design) -> float:
        total = 0.0
        for layer in design.layers:
            a = design.accelerator
            bits = float(a.weight_port_bits)
            if layer.weight_memory is WeightMemory.DDR:
                rate = loaded.read_bytes_per_second * 8 / (a.clock_mhz * 1e6)
                bits = min(rate, a.axi_ports * a.axi_port_bits)
            total += layer.nonzero_blocks * max(a.block_bits / bits, 1)
        return total

    for ports, bits in product((1, 2, 4), (64, 128, 256, 512, 1024, 2048)):
        if ports > loaded.axi.ports or bits < ports * loaded.axi.port_bits:
            continue
        other = replace(chosen.accelerator, axi_ports=ports, weight_port_bits=bits)
        design = found.evaluate(other, density)
        if not design.resources.fits(limit) or design.streamed > chosen.streamed:
            continue
        if found.exact_cycles(other, density) > plan.predicted.cycles:
            continue
        # Whole words of a block: a cycle of each at most.
        assert waited(design) >= waited(chosen) - chosen.nonzero_blocks, (ports, bits)


def check(plan: Plan) -> None:
    """What holds of every plan."""
    limit = usable_resources(plan.board)
    for design in (plan.chosen, plan.fastest, *plan.runners_up, *plan.pareto):
        assert design.resources.fits(limit)
    matrices = sum(layer.predicted_cycles for layer in plan.chosen.layers)
    assert plan.chosen.estimated_cycles == matrices + plan.chosen.beside_cycles
    # What arrays are compared by is near what is predicted.
    streamed = any(layer.weight_memory is WeightMemory.DDR for layer in plan.chosen.layers)
    assert plan.chosen.estimated_cycles == pytest.approx(plan.predicted.cycles, rel=0.12 if streamed else 0.06)
    assert [layer.name for layer in plan.chosen.layers] == [m.name for m in plan.work.shape.matrices()]
    for layer in plan.chosen.layers:
        rows, cols = plan.chosen.accelerator.block
        assert layer.blocks == -(-layer.out_features // rows) * -(-layer.in_features // cols)
        assert 1 <= layer.nonzero_blocks <= layer.blocks
        assert (layer.macs_per_byte is None) == (layer.weight_memory is not WeightMemory.DDR)
        # A word of activations or of results is a beat, if a beat may be so wide.
        a = plan.chosen.accelerator
        word = max(a.cols, a.vector_rows) * a.lanes * 8
        assert a.stream_bits in (word, 512) or a.stream_bits // 2 < word < a.stream_bits or word < a.axi_port_bits
        assert a.axi_port_bits <= a.stream_bits <= 512
    blocks = {design.accelerator.block for design in plan.runners_up}
    assert plan.chosen.accelerator.block not in blocks
    assert len(blocks) == len(plan.runners_up)


BOARDS = ["kv260", "pynq-z2", "u250", "u280", "u50", "ultra96-v2", "zcu102", "zcu104"]
# Tokens of a sentence that the small boards have room for.
ROOM = {("pynq-z2", BERT): 8, ("pynq-z2", MINI): 64, ("ultra96-v2", BERT): 32, ("ultra96-v2", MINI): 64}


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("shape", [BERT, MINI], ids=["bert-base", "mini"])
def test_plans_on_all_boards(board: str, shape: EncoderShape) -> None:
    tokens = ROOM.get((board, shape), 128)
    plan = make_plan(load_board(board), Work(shape, tokens), compression(2.0))
    check(plan)
    assert 2.0 <= 1 / plan.chosen.density < 2.02
    # Nothing is faster than all multipliers busy every cycle with what is left.
    assert plan.chosen.estimated_cycles >= plan.chosen.nonzero_blocks * tokens / plan.chosen.accelerator.lanes
    # With the DSPs of the board well used, it is not much slower either.
    assert plan.chosen.resources.dsp >= 0.5 * usable_resources(plan.board).dsp
    assert plan.dense.estimated_cycles >= plan.chosen.estimated_cycles


@given(
    dsps=st.integers(200, 1728),
    more=st.integers(0, 800),
    rate=st.floats(1.0, 30.0),
    faster=st.floats(1.0, 4.0),
    factor=st.floats(1.0, 10.0),
    sparser=st.floats(1.0, 3.0),
)
@settings(max_examples=6)
def test_more_dsps_bandwidth_or_sparsity_never_make_it_worse(
    dsps: int, more: int, rate: float, faster: float, factor: float, sparser: float
) -> None:
    work = Work(SMALL, tokens=32)
    patch = pytest.MonkeyPatch()
    patch.setattr(search, "BLOCK_SIDES", (4, 8, 16))

    def cycles(dsps: int, rate: float, factor: float) -> int:
        board = changed("zcu104", device__dsp=dsps, memories__gb_per_s=rate)
        plan = make_plan(board, work, compression(factor))
        # What is chosen may be slower than the fastest only for a smaller block, and only by a near tie.
        assert plan.chosen.estimated_cycles <= plan.fastest.estimated_cycles * (1 + NEAR_TIE)
        if plan.chosen.estimated_cycles > plan.fastest.estimated_cycles:
            assert plan.chosen.accelerator.block_area < plan.fastest.accelerator.block_area
        return plan.fastest.estimated_cycles

    now = cycles(dsps, rate, factor)
    assert cycles(dsps + more, rate, factor) <= now
    assert cycles(dsps, rate * faster, factor) <= now
    assert cycles(dsps, rate, factor * sparser) <= now
    patch.undo()


@pytest.mark.parametrize("board", ["zcu104", "pynq-z2"])
def test_a_latency_budget_is_met_at_the_highest_density(board: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "BLOCK_SIDES", (4, 8, 16))
    loaded = load_board(board)
    budget = make_plan(loaded, Work(SMALL)).predicted.latency_ms * 0.7
    plan = make_plan(loaded, Work(SMALL), Budget(BudgetKind.LATENCY, budget))
    check(plan)
    # What is printed meets it, and a step more of the blocks would not.
    assert plan.predicted.latency_ms <= budget
    step = search.Search(loaded, plan.work).exact_cycles(plan.chosen.accelerator, plan.chosen.density + 0.01)
    assert step > plan.predicted.cycles
    assert plan.predicted.latency_ms > 0.99 * budget or step / plan.predicted.clock_mhz / 1000 > budget
    # Every array that exists meets it only with fewer blocks than this, or hardly more (arrays are searched by array
    # cycles, a few percent beside those of whole runs).
    limit = plan.chosen.density / (1 - NEARLY_AS_DENSE) * HARDLY_MORE
    for design in search.every_design(loaded, Work(SMALL), min(limit, 1.0)):
        assert design.estimated_ms > 0.95 * budget


def test_a_generous_latency_budget_prunes_nothing() -> None:
    plan = make_plan(load_board("zcu104"), Work(SMALL), Budget(BudgetKind.LATENCY, 1000.0))
    assert plan.chosen.density == 1.0


def test_on_chip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "BLOCK_SIDES", (4, 16, 32))
    plan = make_plan(load_board("zcu104"), Work(MINI), Budget(BudgetKind.ON_CHIP))
    check(plan)
    # No design that exists fits with so many more blocks (within what the search does not look at).
    for design in search.every_design(
        plan.board, plan.work, plan.chosen.density / (1 - NEARLY_AS_DENSE) * HARDLY_MORE
    ):
        assert not design.on_chip
    assert plan.chosen.on_chip
    assert all(layer.weight_memory is not WeightMemory.DDR for layer in plan.chosen.layers)
    # 499 BRAM18 and 76 URAM are 31.6 Mbit; 10.6 M weights of 8 bits are 84.9: buffers take the rest.
    assert plan.chosen.density < 31.6 / 84.9
    # A bit more would not fit this array.
    more = predict(
        plan.chosen.accelerator,
        plan.board,
        sparsify(plan.chosen.accelerator, plan.work.matrices, plan.chosen.density + 0.01),
        128,
        beside(plan.chosen.accelerator, MINI),
    )
    assert not more.on_chip


@pytest.mark.parametrize(
    ("board", "budget", "message"),
    [
        ("kv260", Budget(BudgetKind.LATENCY, 0.5), r"kv260 cannot reach 0\.5 ms.*accepted: \d.* ms or more"),
        (
            "pynq-z2",
            Budget(),
            r"pynq-z2 has room for sentences of so many tokens \(got 128\); accepted: \d+ or fewer",
        ),
        ("zcu102", Budget(BudgetKind.ON_CHIP), r"chip of zcu102 even at 50× compression: \d+ of 72 matrices do"),
        ("zcu104", Budget(BudgetKind.COMPRESSION, 51.0), r"--compression.*51\.0.*accepted: 1 to 50"),
        ("zcu104", Budget(BudgetKind.COMPRESSION, 0.5), r"--compression.*0\.5"),
        ("zcu104", Budget(BudgetKind.LATENCY, 0.0), "--latency-ms"),
        ("zcu104", Budget(BudgetKind.LATENCY, float("nan")), "--latency-ms"),
    ],
)
def test_impossible_budgets(board: str, budget: Budget, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(load_board(board), Work(BERT), budget)


def test_the_best_that_the_board_can_do_is_true() -> None:
    board = load_board("pynq-z2")
    with pytest.raises(InputError) as error:
        make_plan(board, Work(SMALL), Budget(BudgetKind.LATENCY, 1e-3))
    best = float(str(error.value).partition("accepted: ")[2].split()[0])
    plan = make_plan(board, Work(SMALL), Budget(BudgetKind.LATENCY, best))
    assert plan.predicted.latency_ms <= best


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (Work(SMALL, tokens=0), "--tokens"),
        (Work(SMALL, batch=0), "--batch"),
        (Work(SMALL, weight_bits=5), "--weight-bits.*8 or 4"),
        (Work(SMALL, clock_mhz=5000.0), "--clock-mhz.*at most 600"),
        (Work(SMALL, clock_mhz=-1.0), "--clock-mhz"),
        (Work(EncoderShape("w", "bert", 140000, 1, 64, 2)), "int32 sums are exact"),
    ],
)
def test_work_out_of_range(work: Work, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(load_board("zcu104"), work)


def test_the_longest_sentence_that_is_said_to_fit_does() -> None:
    board = changed("zcu104", device__bram18=60, device__uram=0)
    with pytest.raises(InputError) as caught:
        make_plan(board, Work(SMALL, block=(8, 8)))
    told = str(caught.value)
    assert (
        "--tokens: no array with blocks of 8×8 on zcu104 has room for sentences of so many tokens (got 128)" in told
    )
    longest = int(told.partition("accepted: ")[2].split()[0])
    assert (
        make_plan(board, Work(SMALL, longest, block=(8, 8)), compression(50.0)).chosen.accelerator.max_tokens
        == longest
    )


def test_a_board_that_is_too_small() -> None:
    with pytest.raises(InputError, match=r"zcu104: device: no array .*accepted: a larger board"):
        make_plan(changed("zcu104", device__bram18=4, device__uram=0), Work(BERT))


def test_int4_halves_the_weights() -> None:
    board = load_board("zcu104")
    int4 = make_plan(board, Work(MINI, weight_bits=4), compression(2.0))
    int8 = make_plan(board, Work(MINI), compression(2.0))
    check(int4)
    assert int4.fastest.estimated_cycles <= int8.fastest.estimated_cycles
    assert 2 * int4.chosen.accelerator.block_bits == int4.chosen.accelerator.block_area * 8


@pytest.mark.parametrize("granularity", [Granularity.COLUMN, Granularity.ROW])
def test_columns_and_rows(granularity: Granularity) -> None:
    plan = make_plan(load_board("zcu104"), Work(MINI, granularity=granularity), compression(2.0))
    check(plan)
    assert 1 in plan.chosen.accelerator.block
    assert (plan.chosen.accelerator.cols == 1) == (granularity is Granularity.COLUMN)


def test_a_batch_takes_no_longer_than_its_sentences() -> None:
    board = load_board("zcu104")
    one = make_plan(board, Work(SMALL), compression(2.0)).fastest
    eight = make_plan(board, Work(SMALL, batch=8), compression(2.0)).fastest
    assert one.estimated_cycles <= eight.estimated_cycles <= 8 * one.estimated_cycles


def test_a_slower_memory_binds() -> None:
    board = changed("ultra96-v2", memories__gb_per_s=0.05)
    plan = make_plan(board, Work(MINI, tokens=32))
    assert "weight bandwidth" in {layer.bound for layer in plan.chosen.layers}
    streamed = [layer for layer in plan.chosen.layers if layer.weight_memory is WeightMemory.DDR]
    rate = board.read_bytes_per_second
    assert streamed
    for layer in streamed:  # no faster than its weights can cross
        seconds = layer.predicted_cycles / plan.chosen.accelerator.clock_mhz / 1e6
        assert seconds >= layer.nonzero_blocks * plan.chosen.accelerator.block_area / rate


@pytest.mark.parametrize(
    ("tokens", "updates", "blocks", "gb_per_s", "bound"),
    [
        (128, {}, 576, 17.0, "compute"),  # T = 32 = F
        (4, {}, 576, 17.0, "weight bandwidth"),  # T = 1, F = 32
        (128, {"requant_interval": 16}, 24, 17.0, "requantisation"),  # one block a row: 32 cycles, then 512
    ],
)
def test_what_bounds_a_matrix(tokens: int, updates: dict[str, int], blocks: int, gb_per_s: float, bound: str) -> None:
    board = changed("zcu104", memories__gb_per_s=gb_per_s)
    accelerator = replace(EXAMPLE, **updates)
    design = predict(accelerator, board, [spread_evenly(Matrix("m", 384, 384), 16, 16, blocks)], tokens)
    assert [layer.bound for layer in design.layers] == [bound]


def test_prediction_of_a_pruned_model_with_uneven_rows() -> None:
    # What the pruner will ask: not the planner's even spread, but the blocks that a mask has left.
    board = load_board("zcu104")
    accelerator = make_plan(board, Work(SMALL), compression(2.0)).chosen.accelerator
    even = sparsify(accelerator, SMALL.matrices(), 0.5)
    rows, cols = accelerator.block

    def uneven(s: object) -> list[int]:
        columns = s.blocks // s.block_rows
        return [columns if i % 2 else 0 for i in range(s.block_rows)]

    masks = [sparse_matrix(s.matrix, rows, cols, uneven(s)) for s in even]
    design = predict(accelerator, board, masks, 128)
    assert [layer.nonzero_blocks for layer in design.layers] == [s.nonzero_blocks for s in masks]
    assert design.estimated_cycles >= predict(accelerator, board, even, 128).estimated_cycles


def test_the_board_decides_what_a_dsp_holds() -> None:
    board = load_board("pynq-z2")
    assert board.device.dsp_type is DspType.DSP48E1
    plan = make_plan(board, Work(SMALL), compression(2.0))
    assert plan.chosen.accelerator.dsp_packing == 2


@pytest.mark.parametrize("block", [(16, 16), (5, 7), (16, 1)])
def test_a_block_that_is_asked_for_is_planned(block: tuple[int, int]) -> None:
    granularity = Granularity.COLUMN if block[1] == 1 else Granularity.BLOCK
    plan = make_plan(load_board("zcu104"), Work(MINI, granularity=granularity, block=block), compression(2.0))
    assert plan.chosen.accelerator.block == block
    assert not plan.runners_up
    if block == (16, 16):
        free = make_plan(load_board("zcu104"), Work(MINI), compression(2.0))
        assert plan.chosen.estimated_cycles >= free.fastest.estimated_cycles
