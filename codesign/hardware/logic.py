"""LUTs and flip-flops of the engine, module by module: counts of what each module consists of.

A count times its coefficient (``coefficients.yaml``) is LUTs and flip-flops. Modules are those of
``hls_templates/rtl``, which say what the counted things are.
"""

from __future__ import annotations

from collections.abc import Mapping

from codesign.boards import DspType
from codesign.hardware.accelerator import Accelerator
from codesign.hardware.arrays import NORM_GAIN_BITS, Contents, EncoderSizes, channel_bits
from codesign.hardware.cycles import token_groups
from codesign.hardware.dsp import dsp_packing
from codesign.hardware.images import beat_bits, block_words
from codesign.hardware.memories import ceil_div
from codesign.hardware.timeline import streams
from codesign.numerics import ACCUMULATOR_BITS, ACTIVATION_BITS, BIAS_BITS, CHANNEL_BITS, sum_bits

Counts = Mapping[str, Mapping[str, float]]
"""Module → what → how many."""

WHAT = {
    "pe_row.split_one": "bit of a cascade's sum",
    "pe_row.split_two": "bit of the two fields of a cascade's sum",
    "pe_row.split_four": "DSP with four products",
    "pe_row.wait": "bit of the sum of a shorter last cascade",
    "pe_row.tree_adder": "bit of an adder's sum",
    "pe_row.tree_register": "bit that a level of the tree passes on",
    "pe_array.weight": "weight bit of a block",
    "pe_array.head": "bit of a block of K or V, where weights are narrower",
    "pe_array.arrival": "bit of a word of weights on its way along a cascade",
    "pe_array.strobe": "word of a block, and column of a cascade",
    "pe_array.skew": "activation bit that waits for its place in a cascade",
    "pe_array.operand": "pair of factors that are put side by side",
    "accumulators.accumulate": "accumulator bit",
    "requantiser.requantise": "requantiser, without its DSPs",
    "requantiser.wide": "requantiser of an encoder",
    "engine_core.schedule": "engine",
    "engine_core.choose": "bit of the sums that are requantised at a time, and four rows to choose from",
    "engine_core.sum": "bit of the sums that are requantised at a time",
    "engine_core.channel": "bit of the channel constants in use",
    "engine_core.head": "engine of an encoder",
    "engine_core.address": "bit of an address of an encoder's memories, and of a place of results",
    "engine_core.quotient": "requantiser of an encoder",
    "activation_tables.table": "requantiser with tables behind it",
    "activation_tables.wide": "requantiser of an encoder with tables behind it",
    "activation_buffers.control": "engine",
    "activation_buffers.beat": "bit of the beats of a word",
    "result_store.control": "engine",
    "result_store.word": "bit of a word of results",
    "result_store.choose": "bit of the stream, and four beats of a word to choose from",
    "weight_memory.word": "bit of a word of weights",
    "weight_loader.beat": "bit of the beats of a word",
    "registers.map": "engine",
    "engine.control": "engine",
    "engine.layer": "matrix in a layer table, of which external memory's readers have two more",
    "engine.program": "engine of an encoder",
    "engine.step": "step of an encoder in a layer table, of which external memory's readers have two more",
    "engine.streamed": "engine of an encoder with external memory",
    "external_reader.control": "engine with external memory",
    "external_reader.port": "bit of a read port",
    "external_reader.word": "bit of a word that takes several beats",
    "external_constants.control": "engine with external memory",
    "external_constants.beat": "bit of a beat of index entries",
    "external_constants.channel": "bit of the beats of a word of channel constants",
    "encoder_memories.control": "engine of an encoder",
    "encoder_memories.operand": "bit of the activations that enter the array",
    "encoder_memories.result": "bit of the results that leave the array at a time",
    "encoder_memories.choose": "bit of these, and four parts of a word to choose from",
    "encoder_memories.lane": "lane",
    "encoder_memories.address": "bit of an address, and one of the number of token groups",
    "head_block.choose": "bit of a word of weights, and four bits of K or V to choose from",
    "residual_sums.control": "engine of an encoder",
    "residual_sums.sum": "residual sum at a time",
    "residual_sums.in_luts": "residual sum at a time whose products are in LUTs",
    "residual_sums.gain": "feature of these",
    "residual_sums.lane": "lane",
    "residual_sums.address": "bit of an address, and one of the number of token groups",
    "vector_unit.control": "engine of an encoder",
    "vector_unit.step": "step of the vector unit",
    "vector_unit.write": "bit of a word of activations",
    "vector_unit.element": "element of the vector unit",
    "vector_unit.constant": "bit of a word of LayerNorm's constants",
    "vector_unit.lane": "lane",
    "vector_unit.address": "bit of an address, and one of the number of token groups",
    "exponential.exponential": "element of the vector unit",
    "normaliser.normalise": "element of the vector unit, without its DSPs",
}
"""What every coefficient is per."""


def choices(inputs: int) -> int:
    """Four-input multiplexers that choose one of so many: LUTs of six inputs, which are joined for free."""
    return ceil_div(inputs, 4) if inputs > 1 else 0


def engine_logic(a: Accelerator, dsp_type: DspType, tables: int, encoder: EncoderSizes | None = None) -> Counts:
    """What does not depend on the matrices, but for the number of those with tables behind them."""
    packing = dsp_packing(dsp_type, a.held_bits, a.dsp_packing)
    chain, segments = packing.cascades(a.cols)
    bits = sum_bits(a.held_bits, a.cols)
    rows, pairs = ceil_div(a.rows, packing.weights), ceil_div(a.lanes, packing.activations)
    requantisers = a.rows // a.requant_interval * a.lanes

    # Bits of the fields of one cascade in all lanes; the upper field of an odd lane has nobody who wants it.
    fields = {1: a.lanes * bits, 2: pairs * packing.field_bits + a.lanes // 2 * bits}
    row: dict[str, float] = {}
    if packing.products == 4:
        row["split_four"] = rows * pairs * a.cols
    else:
        row["split_one" if packing.products == 1 else "split_two"] = rows * segments * fields[packing.products]
        row["wait"] = rows * fields[packing.products] if segments > 1 and a.cols % chain else 0
    row["tree_adder"] = a.rows * a.lanes * (segments - 1) * bits
    row["tree_register"] = a.rows * a.lanes * _tree_passes(segments) * bits

    late = [column % chain for column in range(a.cols)]
    array: dict[str, float] = {
        "weight": a.block_area * a.held_bits,
        "head": a.block_area * a.held_bits if a.held_bits > a.weight_bits else 0,
        "arrival": (chain - 1) * (a.weight_port_bits + 2),
        "strobe": chain * max(block_words(a), encoder.head_words if encoder else 0),
        "skew": sum(1 for c in late if c) * a.lanes * ACTIVATION_BITS,
    }
    if packing.products > 1:
        array["operand"] = a.cols * (a.lanes // 2) + (a.cols * (a.rows // 2) if packing.products == 4 else 0)
    return {
        "pe_row": row,
        "pe_array": array,
        "accumulators": {"accumulate": a.rows * a.lanes * ACCUMULATOR_BITS},
        "requantiser": {"requantise": requantisers, "wide": requantisers if encoder else 0},
        "engine_core": {
            "schedule": 1,
            "choose": requantisers * ACCUMULATOR_BITS * choices(a.requant_interval),
            "sum": requantisers * ACCUMULATOR_BITS,
            "channel": a.rows // a.requant_interval * CHANNEL_BITS,
            "head": 1 if encoder else 0,
            "address": encoder.address_bits + encoder.place_bits if encoder else 0,
            "quotient": requantisers if encoder else 0,
        },
        "activation_tables": {
            "table": requantisers if tables else 0,
            "wide": requantisers if tables and encoder else 0,
        },
        "registers": {"map": 1},
    }


def _tree_passes(inputs: int) -> int:
    """Numbers without a partner, over the levels of a tree with a register at every level."""
    passes = 0
    while inputs > 1:
        passes += inputs % 2
        inputs = ceil_div(inputs, 2)
    return passes


def stream_logic(a: Accelerator) -> Counts:
    """The two streams' sides of the buffers."""
    sides = streams(a, block_rows=1)  # as wide for any number of block rows
    return {
        "activation_buffers": {
            "control": 1,
            "beat": sides.activation_beats * a.stream_bits,
        },
        "result_store": _result_store(a, a.rows // a.requant_interval * a.lanes * ACTIVATION_BITS),
    }


def _result_store(a: Accelerator, bits: int) -> Mapping[str, float]:
    return {"control": 1, "word": bits, "choose": a.stream_bits * choices(ceil_div(bits, a.stream_bits))}


def encoder_logic(a: Accelerator, encoder: EncoderSizes) -> Counts:
    """What stands around the array in an encoder, instead of the buffers of matrices alone."""
    drained = a.rows // a.requant_interval
    results, operands = drained * a.lanes * ACTIVATION_BITS, a.cols * a.lanes * ACTIVATION_BITS
    # A word's place is its column times the number of token groups: an adder for each bit of that number.
    address = encoder.address_bits * token_groups(a, a.max_tokens).bit_count()
    return {
        "encoder_memories": {
            "control": 1,
            "operand": operands,
            "result": results,
            "choose": results * choices(a.cols // drained),
            "lane": a.lanes,
            "address": address,
        },
        "head_block": {"choose": a.weight_port_bits * choices(encoder.head_words * sum(encoder.key_blocks))},
        "residual_sums": {
            "control": 1,
            "sum": drained * a.lanes,
            "in_luts": drained * a.lanes if a.lut_sums else 0,
            "gain": drained if a.lut_sums else 0,
            "lane": a.lanes,
            "address": address,
        },
        "vector_unit": {
            "control": 1,
            "step": encoder.vector_steps,
            "write": operands,
            "element": a.vector_width,
            "constant": a.vector_rows * (NORM_GAIN_BITS + BIAS_BITS),
            "lane": a.lanes,
            "address": address,
        },
        "exponential": {"exponential": a.vector_width},
        "normaliser": {"normalise": a.vector_width},
        "result_store": _result_store(a, a.vector_width * ACTIVATION_BITS),
    }


def weight_logic(a: Accelerator, contents: Contents, encoder: EncoderSizes | None = None) -> Counts:
    """What depends on where the weights lie."""
    tables = 3 if contents.streamed else 1
    counts: dict[str, dict[str, float]] = {
        "weight_memory": {"word": a.weight_port_bits},
        "weight_loader": {
            "beat": ceil_div(a.weight_port_bits, a.stream_bits) * a.stream_bits if contents.uram_words else 0
        },
        "engine": {
            "control": 1,
            "layer": 0 if encoder else contents.matrices * tables,
            "program": 1 if encoder else 0,
            "step": encoder.array_steps * tables if encoder else 0,
            "streamed": 1 if encoder and contents.streamed else 0,
        },
    }
    if contents.streamed:
        beat = beat_bits(a)
        channels = channel_bits(a, contents.place_bits)
        counts["external_reader"] = {
            "control": 1,
            "port": beat,
            "word": a.weight_port_bits if a.weight_port_bits > beat else 0,
        }
        counts["external_constants"] = {
            "control": 1,
            "beat": beat,
            "channel": ceil_div(channels, beat) * beat,
        }
    return counts
