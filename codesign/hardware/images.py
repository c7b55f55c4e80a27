"""Sizes of the images that hold one matrix: blocks, index, channel constants."""

from __future__ import annotations

from dataclasses import dataclass

from codesign.hardware.accelerator import Accelerator, SparseMatrix
from codesign.hardware.memories import ceil_div

STREAMED_INDEX_BITS, STREAMED_CHANNEL_BITS = 16, 64
"""Of an index entry and of a channel's constants in external memory: powers of two, so that none spans two beats."""


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


def image_bits(accelerator: Accelerator, sparse: SparseMatrix) -> ImageBits:
    """Bits of one matrix's images in external memory."""
    return ImageBits(
        blocks=sparse.nonzero_blocks * accelerator.block_bits,
        index=sparse.index_entries * STREAMED_INDEX_BITS,
        channels=sparse.block_rows * accelerator.rows * STREAMED_CHANNEL_BITS,
    )
