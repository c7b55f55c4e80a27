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
from codesign.numerics import ACCUMULATOR_BITS, ACTIVATION_BITS, CHANNEL_BITS

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
    """

    width: int
    depth: int
    storage: Storage = Storage.BRAM
    copies: int = 1
    rom: bool = False
    registered: bool = False

    @property
    def distributed(self) -> bool:
        """Whether it is shallow enough for distributed RAM."""
        return not self.rom and self.depth <= DEEPEST_DISTRIBUTED

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
    """Results that wait for the stream, with marks of a matrix's last and of the run's: of two matrices."""
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


def channel_rom(a: Accelerator, words: int) -> Array:
    """Channel constants of the matrices on chip, R/Q channels a word."""
    return Array(a.rows // a.requant_interval * CHANNEL_BITS, words, registered=True, rom=True)


def read_buffers(a: Accelerator) -> Array:
    """Beats from external memory, a queue per port."""
    return Array(a.axi_port_bits, READ_BEATS, copies=a.axi_ports)


def streamed_index(a: Accelerator, entries: int) -> Array:
    """Index of the streamed matrix with the most entries, in beats, for all that are on chip at a time."""
    beats = ceil_div(entries * STREAMED_INDEX_BITS, beat_bits(a)) if entries else 0
    return Array(beat_bits(a), CONSTANT_BUFFERS * beats)


def streamed_channels(a: Accelerator, words: int) -> Array:
    """Channel constants of the streamed matrix with the most, for all that are on chip at a time."""
    return Array(a.rows // a.requant_interval * CHANNEL_BITS, CONSTANT_BUFFERS * words, registered=True)


@dataclass(frozen=True)
class Contents:
    """What the memories for weights, index and channel constants hold, of all matrices that the engine runs.

    Attributes:
        matrices: How many.
        columns: Block columns of the widest.
        bram_words, uram_words: Words of weights.
        index_entries, channel_words: Of the matrices on chip.
        streamed_entries, streamed_channel_words: Of the matrix in external memory that has the most; 0 without any.
    """

    matrices: int
    columns: int
    bram_words: int
    uram_words: int
    index_entries: int
    channel_words: int
    streamed_entries: int
    streamed_channel_words: int

    @property
    def streamed(self) -> bool:
        """Whether any matrix's weights lie in external memory."""
        return self.streamed_entries > 0


Memories = Mapping[str, tuple[Array, ...]]
"""Module of hls_templates/rtl → its memories."""


def engine_memories(a: Accelerator, tables: int) -> Memories:
    """Those that do not depend on the matrices' sizes."""
    return {"accumulators": (accumulators(a),), "activation_tables": (activation_tables(a, tables),)}


def buffer_memories(a: Accelerator, columns: int, block_rows: int) -> Memories:
    """Those of the streams, for the matrices with the most block columns and block rows."""
    return {"activation_buffers": (activation_buffers(a, columns),), "result_store": (result_buffers(a, block_rows),)}


def weight_memories(a: Accelerator, contents: Contents) -> Memories:
    """Those for weights, index and channel constants."""
    found: dict[str, tuple[Array, ...]] = {
        "weight_memory": (weight_rom(a, contents.bram_words), weight_uram(a, contents.uram_words)),
        "engine_core": (index_rom(contents.columns, contents.index_entries), channel_rom(a, contents.channel_words)),
    }
    if contents.streamed:
        found["external_reader"] = (read_buffers(a),)
        found["external_constants"] = (
            streamed_index(a, contents.streamed_entries),
            streamed_channels(a, contents.streamed_channel_words),
        )
    return found
