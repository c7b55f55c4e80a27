"""Every memory of the engine: width, depth, and the tiles of one primitive that it is put together from.

The generated package and the resource model both take them from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from codesign.hardware.accelerator import Accelerator
from codesign.hardware.cycles import token_groups
from codesign.hardware.images import STREAMED_INDEX_BITS, beat_bits, index_bits
from codesign.hardware.memories import DEEPEST_DISTRIBUTED, URAM_TILE, Storage, block_ram_tile, ceil_div
from codesign.hardware.timeline import CONSTANT_BUFFERS, READ_BEATS, streams
from codesign.numerics import ACCUMULATOR_BITS, ACTIVATION_BITS, BIAS_BITS, CHANNEL_BITS, SUM_BITS

TABLE_WORDS = 512
"""Words of the two activation tables of a matrix."""


@dataclass(frozen=True)
class Array:
    """``copies`` arrays of ``depth`` words of ``width`` bits.

    Attributes:
        width: Bits of a word.
        depth: Words; 0 where the design has no such memory.
        storage: What it is made of, above the depth that distributed RAM serves.
        copies: How many alike.
        rom: Whether the bitstream fills it and nothing writes it.
        registered: Whether a register follows that of the memory itself.
        direct: Whether it is read without a register, which only distributed RAM can, however deep.
    """

    width: int
    depth: int
    storage: Storage = Storage.BRAM
    copies: int = 1
    rom: bool = False
    registered: bool = False
    direct: bool = False

    @property
    def distributed(self) -> bool:
        """Whether it is in distributed RAM, for which it must be shallow."""
        return self.direct or (not self.rom and self.depth <= DEEPEST_DISTRIBUTED)

    @property
    def tile(self) -> tuple[int, int]:
        """(width, depth) of one tile; distributed RAM is left whole."""
        if self.distributed:
            return self.width, max(self.depth, 1)
        return URAM_TILE if self.storage is Storage.URAM else block_ram_tile(self.width, max(self.depth, 1))


def accumulators(a: Accelerator) -> Array:
    """Two banks: one sums, the other is requantised."""
    return Array(a.rows * a.lanes * ACCUMULATOR_BITS, token_groups(a, a.max_tokens), copies=2)


def activation_buffers(a: Accelerator, columns: int) -> Array:
    """Ping and pong in one array, for the matrix with the most block columns."""
    words = 2 * columns * token_groups(a, a.max_tokens)
    return Array(a.cols * a.lanes * ACTIVATION_BITS, words, a.activation_memory, registered=True)


def result_buffers(a: Accelerator, block_rows: int) -> Array:
    """Results that wait for the stream, marked at a matrix's last and at the run's; room for two matrices."""
    width = a.rows // a.requant_interval * a.lanes * ACTIVATION_BITS + 2
    return Array(width, streams(a, block_rows).result_words, a.activation_memory)


def activation_tables(a: Accelerator, tables: int) -> Array:
    """Every requantiser has the tables of all matrices."""
    return Array(
        ACTIVATION_BITS,
        tables * TABLE_WORDS,
        copies=a.rows // a.requant_interval * a.lanes,
        registered=True,
        rom=True,
    )


def weight_rom(a: Accelerator, words: int) -> Array:
    """Weights that the bitstream brings."""
    return Array(a.weight_port_bits, words, registered=True, rom=True)


def weight_uram(a: Accelerator, words: int) -> Array:
    """Weights that are loaded at start-up."""
    return Array(a.weight_port_bits, words, Storage.URAM, registered=True)


def index_rom(columns: int, entries: int) -> Array:
    """Index entries of the matrices on chip."""
    return Array(index_bits(columns), entries, registered=True, rom=True)


def channel_bits(a: Accelerator, place_bits: int = 0) -> int:
    """Of a word of channel constants: R/Q channels, and in an encoder where their results go."""
    return a.rows // a.requant_interval * CHANNEL_BITS + place_bits


def channel_rom(a: Accelerator, words: int, place_bits: int = 0) -> Array:
    """Channel constants of the matrices on chip, R/Q channels a word."""
    return Array(channel_bits(a, place_bits), words, registered=True, rom=True)


def read_buffers(a: Accelerator) -> Array:
    """Beats from external memory, a queue per port."""
    return Array(a.axi_port_bits, READ_BEATS, copies=a.axi_ports)


def streamed_index(a: Accelerator, entries: int) -> Array:
    """Index of the streamed matrix with the most entries, in beats, for all that are on chip at a time."""
    beats = ceil_div(entries * STREAMED_INDEX_BITS, beat_bits(a)) if entries else 0
    return Array(beat_bits(a), CONSTANT_BUFFERS * beats)


def streamed_channels(a: Accelerator, words: int, place_bits: int = 0) -> Array:
    """Channel constants of the streamed matrix with the most, for all that are on chip at a time."""
    return Array(channel_bits(a, place_bits), CONSTANT_BUFFERS * words, registered=True)


GAIN_BITS = 16
"""Of the gain of a residual, and of what is added to it."""
NORM_GAIN_BITS = 17
"""Of the gain of a LayerNorm, sign included."""
_STATISTICS_BITS = 33 + 48  # a token's sum and sum of squares
_HIGHEST_BITS = 16  # a token's highest score
_QUOTIENT_BITS = 22  # multiplier and shift


def _features(
    a: Accelerator, features: int, bits: int, words: int, parts: int, storage: Storage | None = None
) -> Array:
    """Features × L tokens a word, in parts that are written one by one."""
    return Array(features * a.lanes * bits, words, storage or a.activation_memory, parts, registered=True)


def state_memory(a: Accelerator, words: int) -> Array:
    """Residual stream and exponentials: C features a word, written V at a time."""
    return _features(a, a.vector_rows, ACTIVATION_BITS, words, a.cols // a.vector_rows)


def work_memory(a: Accelerator, words: int) -> Array:
    """Queries, context, the feed-forward part; or keys: C features a word, written R/Q at a time."""
    drained = a.rows // a.requant_interval
    return _features(a, drained, ACTIVATION_BITS, words, a.cols // drained)


def value_memory(a: Accelerator, words: int) -> Array:
    """Values: R features a word, written R/Q at a time."""
    return _features(a, a.rows // a.requant_interval, ACTIVATION_BITS, words, a.requant_interval)


def sum_memory(a: Accelerator, words: int) -> Array:
    """Scores and residual sums: V features a word, written R/Q at a time."""
    drained = a.rows // a.requant_interval
    return _features(a, drained, SUM_BITS, words, a.vector_rows // drained, a.sum_memory)


def gain_rom(a: Accelerator, words: int) -> Array:
    """Two gains for each of the R/Q features of a word."""
    return Array(a.rows // a.requant_interval * 2 * GAIN_BITS, words, registered=True, rom=True)


def norm_rom(a: Accelerator, words: int) -> Array:
    """Gain and offset of LayerNorm, V features a word."""
    return Array(a.vector_rows * (NORM_GAIN_BITS + BIAS_BITS), words, registered=True, rom=True)


def encoder_results(a: Accelerator, words: int) -> Array:
    """An encoder's results that wait for the stream, V features a word, with two marks."""
    return Array(a.vector_width * ACTIVATION_BITS + 2, words, a.sum_memory or a.activation_memory)


def _of_tokens(a: Accelerator, bits: int, sets: int, reads: int) -> Array:
    """A word for each token group in every lane, in so many sets, read directly in so many places."""
    places = 1 << (address_bits(token_groups(a, a.max_tokens)) + sets - 1)
    return Array(bits, places, copies=reads * a.lanes, direct=True)


def address_bits(words: int) -> int:
    """Of an address of so many words, one at least."""
    return max(words - 1, 1).bit_length()


@dataclass(frozen=True)
class Contents:
    """What the memories for weights, index and channel constants hold, of all matrices that the engine runs.

    Attributes:
        matrices: How many.
        columns: Block columns of the widest.
        bram_words, uram_words: Words of weights.
        index_entries, channel_words: Of the matrices on chip.
        streamed_entries, streamed_channel_words: Of the matrix in external memory that has the most; 0 without any.
        place_bits: Beside the constants of a word of channels: where its results go, in an encoder.
    """

    matrices: int
    columns: int
    bram_words: int
    uram_words: int
    index_entries: int
    channel_words: int
    streamed_entries: int
    streamed_channel_words: int
    place_bits: int = 0

    @property
    def streamed(self) -> bool:
        """Whether any matrix's weights lie in external memory."""
        return self.streamed_entries > 0


@dataclass(frozen=True)
class EncoderSizes:
    """What an encoder has beside the array and its matrices (``codesign.program.resources`` works it out).

    Attributes:
        state, work, keys, values, sums: Words of the memories of activations.
        gains, norms: Words of constants of residual sums and LayerNorms.
        results: Words that wait for the stream.
        head_channels: Words of channels for the scores of every head.
        place_bits: Of a word of channels: where its results go.
        columns: Block columns, the most, of a matrix, of a head's features or of its keys.
        key_blocks: (blocks of R keys, blocks of C keys) of a token group.
        head_words: Weight words that a block of K or V takes to the array.
        array_steps, vector_steps: Of the program.
    """

    state: int
    work: int
    keys: int
    values: int
    sums: int
    gains: int
    norms: int
    results: int
    head_channels: int
    place_bits: int
    columns: int
    key_blocks: tuple[int, int]
    head_words: int
    array_steps: int
    vector_steps: int

    @property
    def address_bits(self) -> int:
        """Of an address of any of the memories of activations."""
        return (max(self.state, self.work, self.keys, self.values, self.sums) + 1).bit_length()


Memories = Mapping[str, tuple[Array, ...]]
"""Module of hls_templates/rtl → its memories."""


def engine_memories(a: Accelerator, tables: int) -> Memories:
    """Those that do not depend on the matrices' sizes."""
    return {"accumulators": (accumulators(a),), "activation_tables": (activation_tables(a, tables),)}


def buffer_memories(a: Accelerator, columns: int, block_rows: int) -> Memories:
    """Those of the streams, for the matrices with the most block columns and block rows."""
    return {"activation_buffers": (activation_buffers(a, columns),), "result_store": (result_buffers(a, block_rows),)}


def encoder_memories(a: Accelerator, sizes: EncoderSizes) -> Memories:
    """Those that stand around the array in an encoder, instead of the buffers."""
    return {
        "encoder_memories": (
            state_memory(a, sizes.state),
            work_memory(a, sizes.work),
            work_memory(a, sizes.keys),
            value_memory(a, sizes.values),
            sum_memory(a, sizes.sums),
            gain_rom(a, sizes.gains),
            _of_tokens(a, _QUOTIENT_BITS, sets=2, reads=1),
        ),
        "residual_sums": (
            _of_tokens(a, _HIGHEST_BITS, sets=2, reads=2),
            _of_tokens(a, _STATISTICS_BITS, sets=1, reads=2),
        ),
        "vector_unit": (norm_rom(a, sizes.norms),),
        "result_store": (encoder_results(a, sizes.results),),
    }


def weight_memories(a: Accelerator, contents: Contents) -> Memories:
    """Those for weights, index and channel constants."""
    found: dict[str, tuple[Array, ...]] = {
        "weight_memory": (weight_rom(a, contents.bram_words), weight_uram(a, contents.uram_words)),
        "engine_core": (
            index_rom(contents.columns, contents.index_entries),
            channel_rom(a, contents.channel_words, contents.place_bits),
        ),
    }
    if contents.streamed:
        found["external_reader"] = (read_buffers(a),)
        found["external_constants"] = (
            streamed_index(a, contents.streamed_entries),
            streamed_channels(a, contents.streamed_channel_words, contents.place_bits),
        )
    return found
