from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from codesign.boards import DspType
from codesign.hardware.accelerator import WeightMemory, spread_evenly
from codesign.hardware.placement import place
from codesign.hardware.resources import Resources, total, weight_resources
from codesign.models import Matrix
from tests.hardware.test_cycles import EXAMPLE

BRAM, URAM, DDR = WeightMemory
PLENTY = Resources(10**7, 10**7, 10**6, 10**6, 10**6)
SMALL = spread_evenly(Matrix("small", 384, 384), 16, 16, 288)
LARGE = spread_evenly(Matrix("large", 1536, 384), 16, 16, 1152)


def placing(limit: Resources, small: int = 4, large: int = 2) -> Counter[tuple[str, WeightMemory]]:
    placed = place(EXAMPLE, DspType.DSP48E2, [(LARGE, large), (SMALL, small)], Resources(), limit)
    assert sum(p.count for p in placed) == small + large
    return Counter({(p.sparse.matrix.name, p.memory): p.count for p in placed})


def test_all_in_block_ram_when_it_fits() -> None:
    assert placing(PLENTY) == {("small", BRAM): 4, ("large", BRAM): 2}


def test_uram_fills_before_block_ram_when_it_does_not() -> None:
    # 9216 words of a small matrix take 3 URAM of 4096 alone; five URAM hold 20480 words: two small ones.
    limit = replace(PLENTY, uram=5, bram18=130)
    found = placing(limit)
    assert found["small", URAM] == 2
    assert found["small", BRAM] >= 1
    assert found["large", DDR] >= 1


def test_without_any_room_everything_is_streamed() -> None:
    assert placing(replace(PLENTY, uram=0, bram18=0)) == {("small", DDR): 4, ("large", DDR): 2}


def test_without_a_port_everything_is_on_chip() -> None:
    placed = place(
        replace(EXAMPLE, axi_ports=0), DspType.DSP48E2, [(SMALL, 3)], Resources(), replace(PLENTY, bram18=0, uram=0)
    )
    assert all(p.memory is not DDR for p in placed)


@given(bram=st.integers(0, 600), uram=st.integers(0, 30), more=st.integers(0, 100), blocks=st.integers(1, 288))
def test_what_is_on_chip_fits_and_more_memory_or_fewer_blocks_keep_it_there(
    bram: int, uram: int, more: int, blocks: int
) -> None:
    def on_chip(limit: Resources, kept: int) -> int:
        small = spread_evenly(SMALL.matrix, 16, 16, kept)
        large = spread_evenly(LARGE.matrix, 16, 16, 4 * kept)
        placed = place(EXAMPLE, DspType.DSP48E2, [(large, 5), (small, 7)], Resources(), limit)
        if any(p.memory is not DDR for p in placed):
            assert total(weight_resources(EXAMPLE, DspType.DSP48E2, placed)).fits(limit)
        return sum(p.count for p in placed if p.memory is not DDR)

    limit = replace(PLENTY, bram18=bram, uram=uram)
    now = on_chip(limit, blocks)
    assert on_chip(replace(limit, bram18=bram + more), blocks) >= now
    assert on_chip(replace(limit, uram=uram + more), blocks) >= now
    assert on_chip(limit, max(1, blocks - more)) >= now


def test_small_matrices_go_first() -> None:
    for bram in range(0, 700, 50):
        found = placing(replace(PLENTY, uram=0, bram18=bram))
        if found["large", BRAM]:
            assert found["small", DDR] == 0
