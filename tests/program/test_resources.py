"""What an encoder takes of the device: sizes against its compiled program and its package, modules by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from codesign.boards import DspType
from codesign.codegen.rtl import parameter_groups
from codesign.hardware.accelerator import Accelerator, WeightMemory, sparse_matrix, spread_evenly
from codesign.hardware.arrays import Array, encoder_memories
from codesign.hardware.memories import Storage
from codesign.hardware.resources import Placed, total
from codesign.models import Matrix
from codesign.packing.images import Part
from codesign.program.build import PARTS, build_encoder
from codesign.program.compile import compile_encoder
from codesign.program.layout import Layout
from codesign.program.resources import encoder_resources, encoder_sizes
from codesign.program.steps import Memory
from codesign.program.unread import everything
from codesign.simulation.random_encoders import random_encoder
from codesign.synthesis.designs import DESIGNS

E2 = DspType.DSP48E2
# 8×12 blocks, 4 lanes, four results (D = R / Q) and twelve elements (V) of each lane at a time.
ARRAY = Accelerator(
    rows=8,
    cols=12,
    lanes=4,
    weight_bits=8,
    dsp_packing=2,
    clock_mhz=300.0,
    max_tokens=128,
    weight_port_bits=128,
    axi_ports=0,
    axi_port_bits=128,
    requant_interval=2,
    vector_width=48,
)
LAYOUT = Layout(ARRAY, hidden=48, ffn=96, heads=4)
LAYERS = 3


def parameters(layout: Layout, layers: int) -> tuple[dict[str, int], dict[str, Any]]:
    model = random_encoder(layout, layers, 0.5, np.random.default_rng(1))
    encoder, images = build_encoder(layout, layers, model.constants, model.packed, model.memories)
    groups = parameter_groups(layout.accelerator, E2, images, encoder=encoder)
    return {item.name: item.value for group in groups for item in group.items}, dict(images.contents)


def test_sizes_are_those_of_the_program() -> None:
    sizes = encoder_sizes(LAYOUT, LAYERS, unread=2)
    read = replace(everything(LAYOUT, LAYERS), heads=((0, 2, 3), (0, 1, 2, 3), (0, 1, 2)))
    program = compile_encoder(LAYOUT, LAYERS, read)
    found = [program.memories[m] for m in (Memory.STATE, Memory.WORK, Memory.KEYS, Memory.VALUES, Memory.SUMS)]
    assert [sizes.state, sizes.work, sizes.keys, sizes.values, sizes.sums] == found
    assert (sizes.array_steps, sizes.vector_steps) == (len(program.array), len(program.vector))


@pytest.mark.parametrize("density", [0.0, 0.1, 0.5])
def test_words_of_what_is_run(density: float) -> None:
    """Of index and channels there are as many as of the block rows that the model counts."""
    model = random_encoder(LAYOUT, LAYERS, density, np.random.default_rng(2))
    encoder, images = build_encoder(LAYOUT, LAYERS, model.constants, model.packed, model.memories)
    rows = {step.matrix: step.rows for step in encoder.program.array if step.matrix is not None}
    for number, (packed, places) in enumerate(zip(model.packed, images.matrices, strict=True)):
        matrix = Matrix("", packed.out_features, packed.in_features)
        sparse = sparse_matrix(matrix, *packed.block, packed.row_blocks.tolist(), rows[number])
        assert places.parts[Part.INDEX].words == sparse.index_entries
        assert places.parts[Part.CHANNELS].words == sparse.block_rows * ARRAY.requant_interval
        assert sparse.nonzero_blocks == len(packed.blocks)
    if density == 0:
        # Sums alone are wanted, of 48 features in rows of 8; of every other matrix one row, as every matrix is run.
        assert [len(rows[number]) for number in range(6)] == [1, 1, 1, 6, 1, 6]
        assert not [step for step in encoder.program.array if step.head is not None]


@pytest.mark.parametrize("layout", [LAYOUT, *(d.layout for d in DESIGNS if d.layout)])
def test_sizes_are_those_of_the_package(layout: Layout) -> None:
    sizes = encoder_sizes(layout, 2)
    p, contents = parameters(layout, 2)
    assert (sizes.gains, sizes.norms, sizes.results) == (p["GAIN_WORDS"], p["NORM_CONSTANTS"], p["RESULT_WORDS"])
    assert (sizes.columns, sizes.head_words) == (p["COLUMNS"], p["HEAD_WORDS"])
    assert sizes.key_blocks == (p["KEY_ROWS"], p["KEY_COLUMNS"])
    assert sizes.address_bits == p["BASE_BITS"]
    assert sizes.place_bits == p["CHANNEL_WORD_BITS"] - p["D"] * p["CHANNEL_BITS"]
    # The tiles that the package names are those that the files of read-only memories are cut into.
    for image, name in (("index", "INDEX"), ("channels", "CHANNEL"), ("gains", "GAIN"), ("norms", "NORM")):
        _, width, words = contents[image]
        assert (p[f"{name}_TILE_WIDTH"], p[f"{name}_TILE_DEPTH"]) == Array(width, len(words), rom=True).tile, image


def placed(layout: Layout, layers: int, memory: WeightMemory = WeightMemory.BRAM) -> list[Placed]:
    shapes = [(layout.hidden, layout.hidden)] * 4 + [(layout.ffn, layout.hidden), (layout.hidden, layout.ffn)]
    a = layout.accelerator
    return [
        Placed(spread_evenly(Matrix(part, n, k, part == "ffn_in"), a.rows, a.cols, 8), memory, layers)
        for part, (n, k) in zip(PARTS, shapes, strict=True)
    ]


def test_dsps_by_hand() -> None:
    parts = encoder_resources(LAYOUT, E2, encoder_sizes(LAYOUT, LAYERS), placed(LAYOUT, LAYERS))
    # 8·12·4 products, two to a DSP; 4·4 requantisers of two.
    assert (parts["pe_row"].dsp, parts["requantiser"].dsp) == (192, 32)
    # 4·4 residual sums: two gains, a square; 12·4 elements of LayerNorm: two; mean and spread of a token: two each.
    assert (parts["residual_sums"].dsp, parts["normaliser"].dsp, parts["vector_unit"].dsp) == (48, 96, 4)
    assert total(parts).dsp == 192 + 32 + 48 + 96 + 4
    # With the gains' products in LUTs, the squares alone are left.
    luts = replace(LAYOUT, accelerator=replace(LAYOUT.accelerator, lut_sums=True))
    other = encoder_resources(luts, E2, encoder_sizes(luts, LAYERS), placed(luts, LAYERS))
    assert total(other).dsp == 192 + 32 + 16 + 96 + 4
    assert other["residual_sums"].lut > parts["residual_sums"].lut + 16 * 100
    assert "activation_buffers" not in parts


def test_memories_by_hand() -> None:
    sizes = encoder_sizes(LAYOUT, LAYERS)
    # T = 32 groups. State: 4 columns · 32 groups, and twice the exponentials of 32 groups of 4 keys, a column each:
    # 128 + 2·1024 words of 12·4 bytes, written 12 at a time: 384 bits × 2176 are 11 of 36 × 512, 5 deep.
    assert sizes.state == 2176
    # Work: queries and context, 4 heads of one column · 32 and 4 · 32, or 8 · 32 of the feed-forward part: 256 words
    # in three parts of 4·4 bytes: 128 bits × 256 are 4 of 36 × 512 each; keys the same with 128 words. Values: 4
    # heads of two block rows (of 8), 256 words in two parts. Sums: 4 words of 12 of a sentence, or two sets of scores
    # of 32 groups of keys: 2048 words in three parts of 4·4·18 bits: 288 × 2048 are 32 of 9 × 2048.
    assert (sizes.work, sizes.keys, sizes.values, sizes.sums) == (256, 128, 256, 2048)
    # Gains: 6 sums of 12 words of 4·32 bits: 4. LayerNorm: 6 of 4 words of 12·49 bits: 17. Results: 2·128 words of
    # 386 bits: 11.
    parts = encoder_resources(LAYOUT, E2, sizes, placed(LAYOUT, LAYERS))
    assert parts["encoder_memories"].bram18 == 11 * 5 + 3 * 4 + 3 * 4 + 2 * 4 + 3 * 32 + 4
    assert parts["vector_unit"].bram18 == 17
    assert parts["result_store"].bram18 == 11
    # A word of channels is wider by where its results go, and every head of every layer has one: 4·55 + 13 bits, 7 of
    # 36 × 512; with the index of 3·48 blocks.
    assert parts["engine_core"].bram18 == 7 + 1
    # In URAM the activations are; constants are not.
    in_uram = Layout(replace(ARRAY, activation_memory=Storage.URAM), 48, 96, 4)
    moved = encoder_resources(in_uram, E2, sizes, placed(in_uram, LAYERS))["encoder_memories"]
    assert (moved.uram, moved.bram18) == (6 + 3 * 2 + 3 * 2 + 2 * 2 + 3 * 4, 4)
    # Or the sums alone, and the results that wait for the stream: 386 of 72 bits.
    sums = Layout(replace(ARRAY, sum_memory=Storage.URAM), 48, 96, 4)
    some = encoder_resources(sums, E2, sizes, placed(sums, LAYERS))
    assert (some["encoder_memories"].uram, some["encoder_memories"].bram18) == (3 * 4, 11 * 5 + 3 * 8 + 2 * 4 + 4)
    assert (some["result_store"].uram, some["result_store"].bram18) == (6, 0)


def test_memories_of_a_token_group_are_distributed_however_deep() -> None:
    sizes = encoder_sizes(LAYOUT, LAYERS)
    highest, statistics = encoder_memories(ARRAY, sizes)["residual_sums"]
    # 32 groups of either of two heads; read in two places, in each of four lanes. A token's sums once.
    assert (highest.width, highest.depth, highest.copies) == (16, 64, 8)
    assert (statistics.width, statistics.depth, statistics.copies) == (81, 32, 8)
    long = replace(ARRAY, max_tokens=1024)
    (deep, _) = encoder_memories(long, sizes)["residual_sums"]
    assert (deep.depth, deep.distributed, deep.tile) == (512, True, (16, 512))


def test_more_layers_or_a_wider_vector_unit_never_take_less() -> None:
    def of(layout: Layout, layers: int) -> Any:
        return total(encoder_resources(layout, E2, encoder_sizes(layout, layers), placed(layout, layers)))

    few, many = of(LAYOUT, 1), of(LAYOUT, 4)
    assert few.fits(many)
    narrow = Layout(replace(ARRAY, vector_width=16), 48, 96, 4)
    assert of(narrow, 1).dsp < few.dsp
    assert of(narrow, 1).lut < few.lut
