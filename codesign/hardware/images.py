"""Sizes of the images that hold one matrix: blocks, index, channel constants."""

from __future__ import annotations

from dataclasses import dataclass

from codesign.hardware.accelerator import Accelerator, SparseMatrix
from codesign.hardware.memories import ceil_div
from codesign.numerics import CHANNEL_BITS

STREAMED_INDEX_BITS = 16
"""Of an index entry in external memory: a power of two, so that none spans two beats."""


@dataclass(frozen=True)
class ImageBits:
    """Bits of one matrix's images, as stored."""

    blocks: int
    index: int
    channels: int

    @property
    def total(self) -> int:
        """All three."""
        return self.blocks + self.index + self.channels


def index_bits(block_columns: int) -> int:
    """Bits of one index word: the column block's number, a last-of-row mark and an empty-row mark."""
    return max(block_columns - 1, 1).bit_length() + 2


def block_words(accelerator: Accelerator) -> int:
    """Words of the on-chip weight memory that one block takes."""
    return ceil_div(accelerator.block_bits, accelerator.weight_port_bits)


def beat_bits(accelerator: Accelerator) -> int:
    """A beat of external memory: as wide as all ports together."""
    return accelerator.axi_ports * accelerator.axi_port_bits


def block_beats(accelerator: Accelerator) -> int:
    """Beats of one block in external memory, where it has as many words as on chip."""
    return ceil_div(block_words(accelerator) * accelerator.weight_port_bits, beat_bits(accelerator))


def external_beats(
    accelerator: Accelerator, blocks: int, entries: int, block_rows: int, place_bits: int = 0
) -> tuple[int, int, int]:
    """(weights, index, channel constants) of one matrix in external memory, in beats.

    Every block begins a beat, the index does, and every word of R/Q channels, with so many bits for its place in an
    encoder.
    """
    beat = beat_bits(accelerator)
    channels = accelerator.rows // accelerator.requant_interval * CHANNEL_BITS + place_bits
    return (
        blocks * block_beats(accelerator),
        ceil_div(entries * STREAMED_INDEX_BITS, beat),
        block_rows * accelerator.requant_interval * ceil_div(channels, beat),
    )


def image_bits(accelerator: Accelerator, sparse: SparseMatrix) -> ImageBits:
    """Bits of one matrix's images in external memory."""
    beats = external_beats(accelerator, sparse.nonzero_blocks, sparse.index_entries, sparse.block_rows)
    return ImageBits(*(count * beat_bits(accelerator) for count in beats))
