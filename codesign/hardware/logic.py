"""LUTs and flip-flops of the engine, module by module: counts of what each module consists of.

A count times its coefficient (``coefficients.yaml``) is LUTs and flip-flops. Modules are those of
``hls_templates/rtl``, which say what the counted things are.
"""

from __future__ import annotations

from collections.abc import Mapping

from codesign.boards import DspType
from codesign.hardware.accelerator import Accelerator
from codesign.hardware.arrays import Contents
from codesign.hardware.dsp import dsp_packing
from codesign.hardware.images import beat_bits, block_words
from codesign.hardware.memories import ceil_div
from codesign.hardware.timeline import streams
from codesign.numerics import ACCUMULATOR_BITS, ACTIVATION_BITS, CHANNEL_BITS, sum_bits

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
    "pe_array.arrival": "bit of a word of weights on its way along a cascade",
    "pe_array.strobe": "word of a block, and column of a cascade",
    "pe_array.skew": "activation bit that waits for its place in a cascade",
    "pe_array.operand": "pair of factors that are put side by side",
    "accumulators.accumulate": "accumulator bit",
    "requantiser.requantise": "requantiser, without its DSPs",
    "engine_core.schedule": "engine",
    "engine_core.choose": "bit of the sums that are requantised at a time, and four rows to choose from",
    "engine_core.sum": "bit of the sums that are requantised at a time",
    "engine_core.channel": "bit of the channel constants in use",
    "activation_tables.table": "requantiser with tables behind it",
    "activation_buffers.control": "engine",
    "activation_buffers.beat": "bit of the beats of a word",
    "result_store.control": "engine",
    "result_store.word": "bit of a word of results",
    "result_store.choose": "bit of the stream, and four beats of a word to choose from",
    "weight_memory.word": "bit of a word of weights",
    "weight_loader.beat": "bit of the beats of a word",
    "registers.map": "engine",
    "engine.control": "engine",
    "engine.layer": "matrix in the layer table",
    "external_reader.control": "engine with external memory",
    "external_reader.port": "bit of a read port",
    "external_reader.word": "bit of a word that takes several beats",
    "external_constants.control": "engine with external memory",
    "external_constants.beat": "bit of a beat of index entries",
    "external_constants.channel": "bit of the beats of a word of channel constants",
}
"""What every coefficient is per."""


def choices(inputs: int) -> int:
    """Four-input multiplexers that choose one of so many: LUTs of six inputs, which are joined for free."""
    return ceil_div(inputs, 4) if inputs > 1 else 0


def engine_logic(a: Accelerator, dsp_type: DspType, tables: int) -> Counts:
    """What does not depend on the matrices, but for the number of those with tables behind them."""
    packing = dsp_packing(dsp_type, a.weight_bits, a.dsp_packing)
    chain, segments = packing.cascades(a.cols)
    bits = sum_bits(a.weight_bits, a.cols)
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
        "weight": a.block_bits,
        "arrival": (chain - 1) * (a.weight_port_bits + 2),
        "strobe": chain * block_words(a),
        "skew": sum(1 for c in late if c) * a.lanes * ACTIVATION_BITS,
    }
    if packing.products > 1:
        array["operand"] = a.cols * (a.lanes // 2) + (a.cols * (a.rows // 2) if packing.products == 4 else 0)
    return {
        "pe_row": row,
        "pe_array": array,
        "accumulators": {"accumulate": a.rows * a.lanes * ACCUMULATOR_BITS},
        "requantiser": {"requantise": requantisers},
        "engine_core": {
            "schedule": 1,
            "choose": requantisers * ACCUMULATOR_BITS * choices(a.requant_interval),
            "sum": requantisers * ACCUMULATOR_BITS,
            "channel": a.rows // a.requant_interval * CHANNEL_BITS,
        },
        "activation_tables": {"table": requantisers if tables else 0},
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
    stream = a.stream_bits
    results = a.rows // a.requant_interval * a.lanes * ACTIVATION_BITS
    sides = streams(a, block_rows=1)  # as wide for any number of block rows
    return {
        "activation_buffers": {
            "control": 1,
            "beat": sides.activation_beats * stream,
        },
        "result_store": {
            "control": 1,
            "word": results,
            "choose": stream * choices(sides.result_beats),
        },
    }


def weight_logic(a: Accelerator, contents: Contents) -> Counts:
    """What depends on where the weights lie."""
    counts: dict[str, dict[str, float]] = {
        "weight_memory": {"word": a.weight_port_bits},
        "weight_loader": {
            "beat": ceil_div(a.weight_port_bits, a.stream_bits) * a.stream_bits if contents.uram_words else 0
        },
        "engine": {"control": 1, "layer": contents.matrices},
    }
    if contents.streamed:
        beat = beat_bits(a)
        channels = a.rows // a.requant_interval * CHANNEL_BITS
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
