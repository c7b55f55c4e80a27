"""What memories of constants hold for an encoder beside its matrices: places of results, heads, gains, LayerNorms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.hardware.arrays import GAIN_BITS, NORM_GAIN_BITS
from codesign.hardware.memories import ceil_div
from codesign.numerics import BIAS_BITS, CHANNEL_BITS
from codesign.packing.words import Words, channel_words
from codesign.program.layout import Layout


@dataclass(frozen=True)
class PlaceBits:
    """Widths of the fields that say where results go."""

    column: int
    sub: int

    @property
    def total(self) -> int:
        """Column and part of an operand's layout, word and bank of the sums', and whether they are wanted."""
        return 2 * (self.column + self.sub) + 1


def place_bits(layout: Layout) -> PlaceBits:
    """Wide enough for every memory."""
    columns = max(
        layout.state_columns + 1,
        layout.inner_columns + 1,
        layout.heads * max(layout.head_columns, layout.head_rows) + 1,
        layout.norm_words + 1,
        layout.groups * max(layout.key_words, layout.key_columns) + layout.key_columns + 1,
    )
    parts = max(layout.state_parts, layout.accelerator.requant_interval, layout.sum_banks, 2)
    return PlaceBits(columns.bit_length(), (parts - 1).bit_length())


def row_places(layout: Layout, part: str) -> NDArray[np.uint8]:
    """Where the results of every word of channels of a matrix go, as bits: words × ``place_bits``.

    Args:
        layout: Sizes.
        part: ``query``, ``key``, ``value``, ``attention_output``, ``ffn_in`` or ``ffn_out``.
    """
    a, drained, bits = layout.accelerator, layout.drained, place_bits(layout)
    features = layout.ffn if part == "ffn_in" else layout.hidden
    words = ceil_div(features, a.rows) * a.requant_interval
    first = np.arange(words) * drained
    head, within = first // layout.head, first % layout.head
    # Every head of Q and K begins with a block column of its own, of V with a block row.
    if part in ("query", "key"):
        at, width = head * layout.head_columns * a.cols + within, a.cols
    elif part == "value":
        at, width = head * layout.head_rows * a.rows + within, a.rows
    else:
        at, width = first, a.cols
    fields = (
        (at // width, bits.column),
        (at % width // drained, bits.sub),
        (first // a.vector_rows, bits.column),
        (first % a.vector_rows // drained, bits.sub),
        (first < features, 1),
    )
    planes = [(values[:, None].astype(np.int64) >> np.arange(size)) & 1 for values, size in fields]
    return np.concatenate(planes, axis=1).astype(np.uint8)


def head_words(layout: Layout, multipliers: NDArray[np.int64], shifts: NDArray[np.int64]) -> tuple[int, Words]:
    """Word bits and words of channels for the scores of every head of every layer, (layers × heads) each."""
    width = layout.drained * CHANNEL_BITS + place_bits(layout).total
    zeros = np.zeros(multipliers.size * layout.drained, np.int64)
    channels = (zeros, *(np.repeat(part.reshape(-1), layout.drained) for part in (multipliers, shifts)), zeros)
    # As if each head were a block row that is requantised at once.
    return width, channel_words(
        channels,
        layout.drained,
        1,
        width,
        np.zeros((multipliers.size, width - layout.drained * CHANNEL_BITS), np.uint8),
    )


def gain_words(layout: Layout, gains: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> tuple[int, Words]:
    """Word bits and words of the gains of every residual sum: D features a word, as their channels are.

    Args:
        layout: Sizes.
        gains: Of the residual and of what is added, N each, of every sum.
    """
    a, drained = layout.accelerator, layout.drained
    padded = ceil_div(layout.hidden, a.rows) * a.rows
    rows = []
    for pair in gains:
        planes = np.zeros((padded, 2 * GAIN_BITS), np.uint8)
        for number, part in enumerate(pair):
            planes[: len(part), number * GAIN_BITS :][:, :GAIN_BITS] = (part[:, None] >> np.arange(GAIN_BITS)) & 1
        rows.append(planes.reshape(-1, drained * 2 * GAIN_BITS))
    return drained * 2 * GAIN_BITS, np.packbits(np.concatenate(rows), axis=1, bitorder="little")


def norm_words(layout: Layout, norms: Sequence[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> tuple[int, Words]:
    """Word bits and words of the constants of every LayerNorm: V features a word, gain and offset each.

    Args:
        layout: Sizes.
        norms: Gain and offset, N each, of every LayerNorm.
    """
    rows_per_word, width = layout.accelerator.vector_rows, NORM_GAIN_BITS + BIAS_BITS
    rows = []
    for gain, offset in norms:
        planes = np.zeros((layout.norm_words * rows_per_word, width), np.uint8)
        planes[: len(gain), :NORM_GAIN_BITS] = (gain[:, None] >> np.arange(NORM_GAIN_BITS)) & 1
        planes[: len(gain), NORM_GAIN_BITS:] = (offset[:, None] >> np.arange(BIAS_BITS)) & 1
        rows.append(planes.reshape(layout.norm_words, -1))
    return rows_per_word * width, np.packbits(np.concatenate(rows), axis=1, bitorder="little")
