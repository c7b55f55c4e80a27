"""The engine in SystemVerilog: parameters of a design, its layer table, and every file of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from codesign import __version__
from codesign.boards import DspType
from codesign.codegen.registers import IDENTITY, REGISTERS, VERSION
from codesign.codegen.templates import render
from codesign.hardware import arrays
from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.hardware.arrays import TABLE_WORDS, Array
from codesign.hardware.cycles import array_stages, requantise_stages
from codesign.hardware.dsp import WIDE_PORT_BITS, dsp_packing
from codesign.hardware.images import STREAMED_INDEX_BITS, beat_bits
from codesign.hardware.images import index_bits as bits_of_index
from codesign.hardware.memories import URAM_TILE, ceil_div
from codesign.hardware.timeline import CONSTANT_BUFFERS, READ_BEATS, Streams, streams
from codesign.names import harmless
from codesign.numerics import ACTIVATION_BITS, CHANNEL_BITS, sum_bits
from codesign.packing.images import ImageSet, MatrixPlaces, Part, memory_text, streamed_entries
from codesign.packing.words import CHANNEL_FIELDS, Words
from codesign.program import timeline
from codesign.program.constants import place_bits
from codesign.program.device import Encoder
from codesign.program.layout import Layout
from codesign.shipped import data_folder

RTL = "rtl"
"""The folder of sources below ``hls_templates``."""
PACKAGE = "engine_pkg.sv"
TOP = "engine_top.v"
"""The wrapper for Vivado; its module has this name without the ending."""
OF_ENCODERS = (
    *("encoder_memories", "feature_memory", "head_block", "residual_sums", "weighted_sums"),
    *("vector_unit", "vector_walker"),
    *("exponential", "normaliser", "deviation", "square_root", "quotient"),
)
"""Modules that designs of matrices alone are without: their packages lack what these need."""
REPEAT_BITS = 16
COUNT_BITS = 24


@dataclass(frozen=True)
class Parameter:
    """One parameter of the package."""

    name: str
    value: int
    meaning: str


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that belong together."""

    title: str
    items: tuple[Parameter, ...]

    @property
    def width(self) -> int:
        """Of the longest name."""
        return max(len(item.name) for item in self.items)


def rtl_files(
    accelerator: Accelerator,
    dsp_type: DspType,
    images: ImageSet,
    title: str,
    *,
    rom_tiles: bool = False,
    encoder: Encoder | None = None,
) -> dict[str, bytes]:
    """Every file of the engine for one design, by name: sources, package, wrapper for Vivado, memory contents.

    Args:
        accelerator: The array.
        dsp_type: Of the device.
        images: Of all its matrices.
        title: What the package's header calls the design.
        rom_tiles: Read-only memories as one array per primitive, each with a file of its own, so that what they take
            does not depend on how the synthesiser folds large arrays.
        encoder: The program of a whole encoder; None: matrices alone.
    """
    folder = data_folder("hls_templates") / RTL
    without = () if encoder else OF_ENCODERS
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("*.sv")) if path.stem not in without}
    files[PACKAGE] = package(accelerator, dsp_type, images, title, rom_tiles=rom_tiles, encoder=encoder).encode()
    files[TOP] = wrapper(accelerator, dsp_type, images, title).encode()
    for name, (memory, word_bits, words) in images.contents.items():
        if memory is not WeightMemory.BRAM:
            continue
        if rom_tiles:
            files.update(_tile_files(name, words, word_bits))
        else:
            files[f"{name}.mem"] = memory_text(words, word_bits)
    return files


def _tile_files(name: str, words: Words, word_bits: int) -> Iterator[tuple[str, bytes]]:
    """(name, content) of every tile of a read-only memory, as hls_templates/rtl/rom.sv names them."""
    width, depth = Array(word_bits, len(words), rom=True).tile
    bits = np.unpackbits(words, axis=1, bitorder="little")[:, :word_bits]
    for row in range(ceil_div(len(words), depth)):
        for column in range(ceil_div(bits.shape[1], width)):
            part = bits[row * depth : (row + 1) * depth, column * width : (column + 1) * width]
            yield (
                f"{name}_{row:03d}_{column:03d}.mem",
                memory_text(np.packbits(part, axis=1, bitorder="little"), part.shape[1]),
            )


def package(
    accelerator: Accelerator,
    dsp_type: DspType,
    images: ImageSet,
    title: str,
    *,
    rom_tiles: bool = False,
    encoder: Encoder | None = None,
) -> str:
    """The generated package: parameters, types, layer table, register map."""
    groups = parameter_groups(accelerator, dsp_type, images, rom_tiles=rom_tiles, encoder=encoder)
    return render(
        f"{RTL}/{PACKAGE}.j2",
        version=__version__,
        title=harmless(title),
        parameters=groups,
        p={item.name: item.value for group in groups for item in group.items},
        jobs=list(array_steps(accelerator, images, encoder)),
        vector_steps=list(encoder.vector_fields()) if encoder else [],
        exponentials=[int(127 * 2 ** (7 - i / 128) + 0.5) for i in range(128)],
        registers=REGISTERS,
        register_width=max(len(register.name) for register in REGISTERS),
        bit_width=max(len(bit.name) for register in REGISTERS for bit in register.bits),
    )


# Ports of the wrapper's interfaces as (direction, bits, signal), as the engine has them.
_REGISTERS = (
    ("input", 1, "awvalid"),
    ("output", 1, "awready"),
    ("input", 8, "awaddr"),
    ("input", 3, "awprot"),
    ("input", 1, "wvalid"),
    ("output", 1, "wready"),
    ("input", 32, "wdata"),
    ("input", 4, "wstrb"),
    ("output", 1, "bvalid"),
    ("input", 1, "bready"),
    ("output", 2, "bresp"),
    ("input", 1, "arvalid"),
    ("output", 1, "arready"),
    ("input", 8, "araddr"),
    ("input", 3, "arprot"),
    ("output", 1, "rvalid"),
    ("input", 1, "rready"),
    ("output", 32, "rdata"),
    ("output", 2, "rresp"),
)
_CONSTANT_READS = (
    ("output", 1, "arid"),
    ("output", 1, "arlock"),
    ("output", 4, "arcache"),
    ("output", 3, "arprot"),
    ("output", 4, "arqos"),
    ("input", 1, "rid"),
)


def wrapper(accelerator: Accelerator, dsp_type: DspType, images: ImageSet, title: str) -> str:
    """The engine in Verilog with scalar port names: what Vivado's IP packager makes interfaces of."""
    p = {item.name: item.value for group in parameter_groups(accelerator, dsp_type, images) for item in group.items}
    reads = (
        ("output", 1, "arvalid"),
        ("input", 1, "arready"),
        ("output", 64, "araddr"),
        ("output", 8, "arlen"),
        ("output", 3, "arsize"),
        ("output", 2, "arburst"),
        ("input", 1, "rvalid"),
        ("output", 1, "rready"),
        ("input", p["AXI_BITS"], "rdata"),
        ("input", 2, "rresp"),
        ("input", 1, "rlast"),
    )
    ports = range(p["PORTS"]) if p["EXTERNAL"] else range(0)
    longest = min(256, 4096 * 8 // p["AXI_BITS"])
    return render(
        f"{RTL}/{TOP}.j2",
        version=__version__,
        title=harmless(title),
        p=p,
        ports=ports,
        names=[f"m_axi_{number}" for number in ports],
        registers=_REGISTERS,
        stream=(
            ("input", 1, "tvalid"),
            ("output", 1, "tready"),
            ("input", p["STREAM_BITS"], "tdata"),
            ("input", 1, "tlast"),
        ),
        engine_reads=tuple((way, bits * (1 if ports else p["PORTS"]), name) for way, bits, name in reads),
        read_channels=(*reads, *_CONSTANT_READS),
        longest=longest,
        outstanding=READ_BEATS // longest,
    )


def layer_jobs(accelerator: Accelerator, images: ImageSet) -> Iterator[dict[str, Any]]:
    """The rows of the layer table, for both back ends."""
    for matrix in images.matrices:
        weights = matrix.parts[Part.WEIGHTS]
        tables = matrix.parts.get(Part.TABLES)
        streamed = is_streamed(images, matrix)
        yield {
            "name": harmless(matrix.name),
            "out_features": matrix.out_features,
            "in_features": matrix.in_features,
            "nonzero_blocks": matrix.nonzero_blocks,
            "entries": index_entry_count(images, matrix),
            "index_base": 0 if streamed else matrix.parts[Part.INDEX].first,
            "weight_base": 0 if streamed else weights.first,
            "channel_base": 0 if streamed else matrix.parts[Part.CHANNELS].first,
            "constants_base": matrix.parts[Part.INDEX].first if streamed else 0,
            "external_base": weights.first if streamed else 0,
            "index_beats": matrix.parts[Part.INDEX].words if streamed else 0,
            "channel_beats": matrix.parts[Part.CHANNELS].words if streamed else 0,
            "weight_beats": weights.words if streamed else 0,
            "columns": ceil_div(matrix.in_features, accelerator.cols),
            "memory": images.contents[weights.image][0].name,
            "table": None if tables is None else tables.first // TABLE_WORDS,
        }


def array_steps(accelerator: Accelerator, images: ImageSet, encoder: Encoder | None) -> Iterator[dict[str, Any]]:
    """The steps of the array: of an encoder's program, or the matrices one after another, results to the stream."""
    matrices = list(layer_jobs(accelerator, images))
    if encoder is None:
        zeros = ("operand_work", "operand_base", "stationary_base", "target_base", "residual_base", "place_column")
        more = ("place_sub", "gain_base", "head_buffer", "after_vector", "after_array")
        for matrix in matrices:
            yield {**matrix, "kind": "MATMUL", "target": "TO_STREAM", **dict.fromkeys((*zeros, *more), 0)}
        return
    for step in encoder.program.array:
        yield encoder.array_fields(step, None if step.matrix is None else matrices[step.matrix])


_MATRICES_ALONE = (
    *(("HEAD_COLUMNS", 1), ("HEAD_ROWS", 1), ("HEAD_WORDS", 1)),
    *(("LAST_HEAD_PARTS", 1), ("KEY_ROWS", 1), ("KEY_COLUMNS", 1), ("KEY_WORDS", 1), ("LAST_KEY_PARTS", 1)),
    *(("STATE_PARTS", 1), ("SUM_BANKS", 1), ("PLACE_COLUMN_BITS", 1), ("PLACE_SUB_BITS", 1), ("BASE_BITS", 1)),
    *(("HEAD_COUNT_BITS", 1), ("STATIONARY_BITS", 1), ("STATIONARY_LANE_BITS", 1), ("KEY_LANE_BITS", 1)),
    *(("GAIN_ADDRESS_BITS", 1), ("VECTOR_STEPS", 0)),
)


def is_streamed(images: ImageSet, matrix: MatrixPlaces) -> bool:
    """Whether a matrix's weights lie in external memory."""
    return images.contents[matrix.parts[Part.WEIGHTS].image][0] is WeightMemory.DDR


def index_entry_count(images: ImageSet, matrix: MatrixPlaces) -> int:
    """Index entries of a matrix: its kept blocks and empty block rows."""
    place = matrix.parts[Part.INDEX]
    if not is_streamed(images, matrix):
        return place.words
    words = images.contents[place.image][2][place.first : place.first + place.words]
    return len(streamed_entries(words))


def has_tables(images: ImageSet) -> bool:
    """Whether an activation by table follows any matrix."""
    return any(Part.TABLES in matrix.parts for matrix in images.matrices)


def parameter_groups(
    accelerator: Accelerator,
    dsp_type: DspType,
    images: ImageSet,
    *,
    rom_tiles: bool = False,
    encoder: Encoder | None = None,
) -> list[ParameterGroup]:
    """The parameters of the package."""
    a = accelerator
    packing = dsp_packing(dsp_type, a.held_bits, a.dsp_packing)
    chain, segments = packing.cascades(a.cols)
    groups = ceil_div(a.max_tokens, a.lanes)
    fetch = ceil_div(a.block_bits, a.weight_port_bits)
    longest_fetch = max(fetch, encoder.layout.head_words) if encoder else fetch
    words = {name: len(content) for name, (_, _, content) in images.contents.items()}
    columns = matrix_columns = max(ceil_div(m.in_features, a.cols) for m in images.matrices)
    if encoder:
        columns = max(columns, encoder.layout.groups * encoder.layout.key_columns, encoder.layout.head_columns)
    index_bits = images.contents["index"][1] if "index" in images.contents else bits_of_index(columns)
    column_bits = max(index_bits - 2, max(columns - 1, 1).bit_length())
    streamed = [m for m in images.matrices if is_streamed(images, m)]
    beat = beat_bits(a) or a.weight_port_bits
    most = {part: max((m.parts[part].words for m in streamed), default=0) for part in Part if part is not Part.TABLES}
    place = place_bits(encoder.layout).total if encoder else 0
    channel_bits = arrays.channel_bits(a, place)
    channel_beats = ceil_div(channel_bits, beat)
    index_buffer = max(most[Part.INDEX] * beat // STREAMED_INDEX_BITS, 1)
    channel_buffer = max(most[Part.CHANNELS] // channel_beats, 1)
    buffers = CONSTANT_BUFFERS if streamed else 0
    block_rows = most_block_rows(a, images)
    sides = streams(a, block_rows)
    row_words = groups * a.requant_interval
    tables = words.get("tables", 0) // TABLE_WORDS
    result_rows = a.vector_rows if encoder else a.rows // a.requant_interval
    result_bits = result_rows * a.lanes * ACTIVATION_BITS
    if encoder:
        sentence = encoder.layout.groups * encoder.layout.norm_words
        sides = Streams(sides.activation_beats, ceil_div(result_bits, a.stream_bits), 2 * sentence)
    multiplier, shift = reciprocal(a.lanes, a.max_tokens)
    fields = dict(zip((name for name, _ in CHANNEL_FIELDS), _field_starts(), strict=True))
    tokens = a.max_tokens.bit_length()

    def address(name: str, count: int, meaning: str) -> Parameter:
        return Parameter(name, max(count - 1, 1).bit_length(), meaning)

    def number(name: str, most: int, meaning: str) -> Parameter:
        return Parameter(name, most.bit_length(), meaning)

    steps = len(encoder.program.array) if encoder else len(images.matrices)
    drained = a.rows // a.requant_interval
    own: tuple[tuple[str, int, str], ...] = (
        tuple(encoder.parameters())
        if encoder
        else tuple((name, value, "no encoder") for name, value in _MATRICES_ALONE)
    )
    memories = {
        "ACTIVATION": arrays.activation_buffers(a, columns),
        "ACCUMULATOR": arrays.accumulators(a),
        "RESULT": arrays.result_buffers(a, block_rows),
        "WEIGHT": arrays.weight_rom(a, words.get("weights_bram", 0)),
        "INDEX": arrays.index_rom(matrix_columns, words.get("index", 0)),
        "CHANNEL": arrays.channel_rom(a, words.get("channels", 0), place),
        "TABLE": arrays.activation_tables(a, tables),
        "READ": arrays.read_buffers(a),
        "STREAMED_INDEX": arrays.streamed_index(a, index_buffer if streamed else 0),
        "STREAMED_CHANNEL": arrays.streamed_channels(a, channel_buffer if streamed else 0, place),
    }
    if encoder:
        p = {name: value for name, value, _ in own}
        memories |= {
            "RESULT": arrays.encoder_results(a, sides.result_words),
            "STATE": arrays.state_memory(a, p["STATE_WORDS"]),
            "WORK": arrays.work_memory(a, p["WORK_WORDS"]),
            "KEY": arrays.work_memory(a, p["KEY_MEMORY_WORDS"]),
            "VALUE": arrays.value_memory(a, p["VALUE_MEMORY_WORDS"]),
            "SUM": arrays.sum_memory(a, p["SUM_WORDS"]),
            "GAIN": arrays.gain_rom(a, p["GAIN_WORDS"]),
            "NORM": arrays.norm_rom(a, p["NORM_CONSTANTS"]),
        }

    return [
        ParameterGroup(
            "The encoder." if encoder else "An encoder: this design has matrices alone.",
            (
                Parameter("VECTOR", int(encoder is not None), "1 with a vector unit"),
                Parameter("D", drained, "R / Q, features that leave the array at a time"),
                Parameter("VALUE_BITS", 16 if encoder else 8, "of a result: scores have 16"),
                number("LANE_COUNT_BITS", a.lanes, "of a count of tokens of a group"),
                *(
                    (
                        address("LANE_BITS", a.lanes, "number of one"),
                        Parameter(
                            "HIGHEST_BITS", max(groups - 1, 1).bit_length() + 1, "token group of one of two heads"
                        ),
                    )
                    if encoder
                    else ()
                ),
                *(Parameter(*item) for item in own),
            ),
        ),
        ParameterGroup(
            "The array.",
            (
                Parameter("R", a.rows, "rows of a block: output features"),
                Parameter("C", a.cols, "columns of a block: input features"),
                Parameter("L", a.lanes, "tokens that pass per cycle"),
                Parameter("Q", a.requant_interval, "cycles in which a token group of a block row is requantised"),
                Parameter("WEIGHT_BITS", a.weight_bits, "of a weight"),
            ),
        ),
        ParameterGroup(
            f"Products in one {dsp_type.value}.",
            (
                Parameter("PACKING", packing.products, "products"),
                Parameter("ROWS_PER_DSP", packing.weights, "rows that share it"),
                Parameter("LANES_PER_DSP", packing.activations, "lanes that share it"),
                Parameter("DSP_LANES", ceil_div(a.lanes, packing.activations), "groups of such lanes"),
                Parameter("WIDE_BITS", WIDE_PORT_BITS[dsp_type], "of its wide port"),
                Parameter("FIELD_SHIFT", max(packing.activation_shift, 1), "bits between two activations"),
                Parameter("WEIGHT_SHIFT", max(packing.weight_shift, 1), "bits between two weights"),
                Parameter("CHAIN", chain, "columns summed along a cascade"),
                Parameter("SEGMENTS", segments, "cascades of a row"),
                Parameter("SUM_BITS", sum_bits(a.held_bits, a.cols), "of a sum over a block's columns"),
            ),
        ),
        ParameterGroup(
            "Tokens.",
            (
                Parameter("MAX_TOKENS", a.max_tokens, "the most"),
                Parameter("GROUPS", groups, "groups of L tokens, the most"),
                address("GROUP_BITS", groups, "number of a group"),
                number("GROUP_COUNT_BITS", max(groups, longest_fetch), "of a count of groups, or of fetch cycles"),
                number("TOKEN_BITS", a.max_tokens, "of a count of tokens"),
                Parameter("RECIPROCAL", multiplier, "(tokens + L - 1) * RECIPROCAL >> RECIPROCAL_SHIFT is the count"),
                Parameter("RECIPROCAL_SHIFT", shift, "of groups"),
                Parameter(
                    "RECIPROCAL_BITS",
                    ((a.max_tokens + a.lanes) * multiplier).bit_length() + 1 - tokens,
                    "above a count's, for the product",
                ),
            ),
        ),
        ParameterGroup(
            "Weights.",
            (
                Parameter("PORT_BITS", a.weight_port_bits, "weight bits that arrive per cycle"),
                Parameter("FETCH_WORDS", fetch, "words of a block"),
                address("WORD_INDEX_BITS", longest_fetch, "number of a word of a block"),
                number("FETCH_BITS", longest_fetch, "of a count of them"),
                Parameter("HELD_BITS", a.held_bits, "of a register of the array: of weights, or of K and V too"),
                Parameter("BRAM_WORDS", words.get("weights_bram", 0), "in block RAM"),
                Parameter("URAM_WORDS", words.get("weights_uram", 0), "in URAM"),
                address(
                    "WEIGHT_ADDRESS_BITS",
                    max(words.get("weights_bram", 0), words.get("weights_uram", 0)),
                    "of the larger of the two",
                ),
            ),
        ),
        ParameterGroup(
            "Index and channel constants.",
            (
                Parameter("INDEX_BITS", index_bits, "of an entry: column, last of its row, empty row"),
                Parameter("COLUMN_BITS", column_bits, "number of a block column"),
                Parameter("INDEX_WORDS", words.get("index", 0), "entries on chip"),
                address("INDEX_ADDRESS_BITS", max(words.get("index", 0), buffers * index_buffer), "of an entry"),
                number("ENTRY_COUNT_BITS", max(index_entry_count(images, m) for m in images.matrices), "of a count"),
                Parameter("CHANNEL_BITS", CHANNEL_BITS, "of a channel's constants"),
                Parameter("CHANNEL_WORD_BITS", channel_bits, "of a word of them, with where its results go"),
                *(
                    Parameter(f"CHANNEL_{name.upper()}", start, f"where its {name} begins")
                    for name, start in fields.items()
                ),
                Parameter("CHANNEL_WORDS", words.get("channels", 0), "words of R / Q channels on chip"),
                address("CHANNEL_ADDRESS_BITS", max(words.get("channels", 0), buffers * channel_buffer), "of a word"),
                Parameter("TABLES", tables, "matrices with an activation behind them"),
                address("TABLE_NUMBER_BITS", tables, "number of one"),
            ),
        ),
        ParameterGroup(
            "Streams and buffers.",
            (
                Parameter("STREAM_BITS", a.stream_bits, "of a beat"),
                Parameter("ACTIVATION_BEATS", sides.activation_beats, "beats of a word of C × L activations"),
                Parameter("COLUMNS", columns, "block columns, the most"),
                number("COLUMN_COUNT_BITS", columns, "of a count of them"),
                Parameter("RESULT_BITS", result_bits, "of a word of results"),
                number("RESULT_COUNT_BITS", sides.result_words, "of a count of them"),
                Parameter("RESULT_BEATS", sides.result_beats, "beats of it"),
                Parameter("RESULT_WORDS", sides.result_words, "words that wait for the stream, the most"),
                number("ROW_WORDS_BITS", row_words, "of a count of a block row's words"),
                address("PART_BITS", a.requant_interval, "which of Q parts of a block row"),
                Parameter("PORT_BEATS", ceil_div(a.weight_port_bits, a.stream_bits), "beats of a word of weights"),
            ),
        ),
        ParameterGroup(
            "External memory.",
            (
                Parameter("EXTERNAL", int(bool(streamed)), "1 if any matrix's weights lie there"),
                Parameter("PORTS", max(a.axi_ports, 1), "AXI read ports; a beat is as wide as all together"),
                Parameter("AXI_BITS", a.axi_port_bits, "of one port"),
                Parameter("READ_BEATS", READ_BEATS, "beats that are asked for ahead, the most"),
                address("BEAT_ADDRESS_BITS", words.get("ddr", 0), "number of a beat"),
                number(
                    "BEAT_COUNT_BITS",
                    max(most[Part.WEIGHTS], most[Part.INDEX] + most[Part.CHANNELS], 1),
                    "of a count of a matrix's",
                ),
                Parameter("WORD_BEATS", ceil_div(a.weight_port_bits, beat), "beats of a word of weights"),
                Parameter("CHANNEL_BEATS", channel_beats, "beats of a word of channels"),
                Parameter("INDEX_BUFFER", index_buffer, "entries of one of the three buffers"),
                Parameter("CHANNEL_BUFFER", channel_buffer, "words of channels of one of them"),
            ),
        ),
        ParameterGroup(
            "Tiles that memories are put together from: one primitive each, up to 64 words deep of distributed RAM.",
            (
                *(
                    Parameter(f"{name}_TILE_{side}", size, "bits" if side == "WIDTH" else "words")
                    for name, array in memories.items()
                    for side, size in zip(("WIDTH", "DEPTH"), array.tile, strict=True)
                ),
                Parameter("URAM_WIDTH", URAM_TILE[0], "bits"),
                Parameter("URAM_DEPTH", URAM_TILE[1], "words"),
                Parameter("ROM_TILED", int(rom_tiles), "1: read-only memories too, with a file for each tile"),
            ),
        ),
        ParameterGroup(
            "Runs.",
            (
                Parameter("LAYERS", steps, "steps of the array"),
                address("LAYER_BITS", steps, "number of one"),
                Parameter("COUNT_BITS", COUNT_BITS, "of a count of steps of all sentences of a run"),
                Parameter("REPEAT_BITS", REPEAT_BITS, "of a count of repeats"),
                Parameter("IDENTITY", IDENTITY, "first register"),
                Parameter("VERSION", VERSION, "of the register map"),
            ),
        ),
        ParameterGroup(
            "Register stages.",
            (
                Parameter("ARRAY_STAGES", array_stages(a, dsp_type), "from a token group's issue to its sums"),
                Parameter(
                    "REQUANTISE_STAGES",
                    requantise_stages(has_tables(images)),
                    "from reading an accumulator to its result",
                ),
                Parameter("RESIDUAL_AHEAD", 3, "from asking for a residual to its result"),
                *(_encoder_stages(encoder.layout) if encoder else ()),
            ),
        ),
    ]


def _encoder_stages(layout: Layout) -> tuple[Parameter, ...]:
    """The register stages of what only an encoder has, as its timing counts with them."""
    return (
        Parameter("RESULT_STAGES", timeline.result_stages(layout), "until a result's traces are all there"),
        Parameter("QUOTIENT_STAGES", timeline.QUOTIENT_STAGES, "of a quotient"),
        Parameter("ROOT_STAGES", timeline.ROOT_STAGES, "of a root"),
        Parameter("EXPONENTIAL_STAGES", timeline.EXPONENTIAL_STAGES, "of an exponential"),
        Parameter("NORMALISER_STAGES", timeline.NORMALISER_STAGES, "of a normalised value"),
        Parameter("NORMAL_LEAD", 5, "of these, until its constants are needed"),
        Parameter("NORM_LEAD", timeline.norm_lead(layout), "from a LayerNorm's begin to its first word"),
    )


def engine_streams(accelerator: Accelerator, images: ImageSet) -> Streams:
    """The streams of a design: room for the results of its matrix with the most block rows, twice."""
    return streams(accelerator, most_block_rows(accelerator, images))


def most_block_rows(accelerator: Accelerator, images: ImageSet) -> int:
    """Of any of the matrices."""
    return max(ceil_div(m.out_features, accelerator.rows) for m in images.matrices)


def reciprocal(divisor: int, most: int) -> tuple[int, int]:
    """(m, s) with (n + d − 1)·m >> s = ⌈n / d⌉ for every n from 0 to ``most``.

    m = ⌈2^s / d⌉ is exact where the excess m·d − 2^s, times the largest numerator, stays below 2^s (Granlund and
    Montgomery, 1994, "Division by invariant integers using multiplication").
    """
    shift = 0
    while True:
        multiplier = ceil_div(1 << shift, divisor)
        if (multiplier * divisor - (1 << shift)) * (most + divisor) < 1 << shift:
            return multiplier, shift
        shift += 1


def _field_starts() -> Iterator[int]:
    at = 0
    for _, width in CHANNEL_FIELDS:
        yield at
        at += width
