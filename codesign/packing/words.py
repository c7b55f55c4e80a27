"""Numbers as the words of an image: bit order, index words, channel constants.

Everything is little-endian: element i of a word lies above element i − 1, and byte i of a word above byte i − 1. In a
block, element (r, c) is number r·C + c.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from codesign.hardware.memories import ceil_div
from codesign.numerics import BIAS_BITS, MULTIPLIER_BITS, SHIFT_BITS, TABLE_BITS
from codesign.packing.blocks import PackedMatrix

Words = NDArray[np.uint8]
"""Words × bytes of a word, the lowest byte first; bits above the word's width are zero."""


def to_words(values: NDArray[np.int64] | NDArray[np.int8], bits: int, word_bits: int) -> Words:
    """Rows of numbers as words: each row's bits, one number after another, cut into words.

    Args:
        values: Rows × numbers.
        bits: Of one number, two's complement.
        word_bits: Of a word; a row's last word is filled up with zeros.
    """
    rows, count = values.shape
    per_row = ceil_div(count * bits, word_bits)
    if bits == 8 and word_bits % 8 == 0:
        laid = np.zeros((rows, per_row * word_bits // 8), np.uint8)
        laid[:, :count] = values.astype(np.uint8)
        return laid.reshape(rows * per_row, word_bits // 8)
    planes = np.zeros((rows, per_row * word_bits), np.uint8)
    shifts = np.arange(bits, dtype=np.int64)
    planes[:, : count * bits] = ((values[:, :, None] >> shifts) & 1).reshape(rows, count * bits)
    return np.packbits(planes.reshape(rows * per_row, word_bits), axis=1, bitorder="little")


def from_words(words: Words, bits: int, count: int, word_bits: int, *, signed: bool = True) -> NDArray[np.int64]:
    """The inverse of ``to_words``: rows × ``count`` numbers."""
    per_row = ceil_div(count * bits, word_bits)
    planes = np.unpackbits(words, axis=1, bitorder="little")[:, :word_bits].reshape(-1, per_row * word_bits)
    numbers = planes[:, : count * bits].reshape(-1, count, bits).astype(np.int64)
    weights = np.int64(1) << np.arange(bits, dtype=np.int64)
    if signed:
        weights[-1] = -weights[-1]
    return numbers @ weights


def index_entries(packed: PackedMatrix, entry_bits: int) -> NDArray[np.int64]:
    """One number per kept block, and one per empty block row: column, last-of-row mark, empty-row mark.

    From the lowest bit: the column block's number; in the second highest bit 1 at a block row's last entry; in the
    highest 1 at an entry that stands for an empty block row, whose column is 0.

    Args:
        packed: The matrix.
        entry_bits: Of an entry: those of ``hardware.images.index_bits`` or more.
    """
    column_bits = entry_bits - 2
    last, empty = np.int64(1) << column_bits, np.int64(2) << column_bits
    entries = np.maximum(packed.row_blocks, 1)
    ends = np.cumsum(entries) - 1
    words = np.zeros(int(entries.sum()), np.int64)
    words[ends] = last
    void = np.zeros(len(words), bool)
    void[ends[packed.row_blocks == 0]] = True
    words[void] |= empty
    words[~void] |= packed.columns
    return words


def from_index(entries: NDArray[np.int64], entry_bits: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(columns, kept blocks of each block row) of index entries of so many bits.

    Raises:
        ValueError: The last entry does not end a block row.
    """
    column_bits = entry_bits - 2
    ends = (entries >> column_bits) & 1
    empty = ((entries >> (column_bits + 1)) & 1).astype(bool)
    if len(entries) and not ends[-1]:
        raise ValueError("the index ends within a block row")
    row = np.cumsum(ends) - ends
    row_blocks = np.bincount(row[~empty], minlength=int(ends.sum()))
    return (entries[~empty] & ((1 << column_bits) - 1)).astype(np.int32), row_blocks.astype(np.int32)


CHANNEL_FIELDS = (("bias", BIAS_BITS), ("multiplier", MULTIPLIER_BITS), ("shift", SHIFT_BITS), ("table", TABLE_BITS))
"""One output channel's constants, from the lowest bit."""


def channel_words(
    channels: Sequence[NDArray[np.int64]],
    rows: int,
    interval: int,
    word_bits: int,
    behind: NDArray[np.uint8] | None = None,
) -> Words:
    """Constants of all output channels of a matrix, padded to whole block rows.

    A word has those of R / Q consecutive channels, the first lowest; Q words make up a block row.

    Args:
        channels: Bias, multiplier, shift and table, N each.
        rows: R.
        interval: Q.
        word_bits: Of a word.
        behind: Bits that stand behind the channels of each word, words × bits; None: none.
    """
    count = len(channels[0])
    padded = ceil_div(count, rows) * rows
    bits = sum(width for _, width in CHANNEL_FIELDS)
    planes = np.zeros((padded, bits), np.uint8)
    at = 0
    for values, (_, width) in zip(channels, CHANNEL_FIELDS, strict=True):
        planes[:count, at : at + width] = (values[:, None] >> np.arange(width, dtype=np.int64)) & 1
        at += width
    per_word = rows // interval
    more = 0 if behind is None else behind.shape[1]
    laid = np.zeros((padded // per_word, ceil_div(per_word * bits + more, word_bits) * word_bits), np.uint8)
    laid[:, : per_word * bits] = planes.reshape(padded // per_word, per_word * bits)
    if behind is not None:
        laid[:, per_word * bits : per_word * bits + behind.shape[1]] = behind
    return np.packbits(laid.reshape(-1, word_bits), axis=1, bitorder="little")


def from_channels(words: Words, count: int, rows: int, interval: int, word_bits: int) -> dict[str, NDArray[np.int64]]:
    """The inverse of ``channel_words``: by the names of ``CHANNEL_FIELDS``, ``count`` each."""
    bits = sum(width for _, width in CHANNEL_FIELDS)
    per_word = rows // interval
    planes = np.unpackbits(words, axis=1, bitorder="little")[:, :word_bits]
    laid = planes.reshape(-1, ceil_div(per_word * bits, word_bits) * word_bits)[:, : per_word * bits]
    numbers = laid.reshape(-1, bits)[:count].astype(np.int64)
    found, at = {}, 0
    for name, width in CHANNEL_FIELDS:
        weights = np.int64(1) << np.arange(width, dtype=np.int64)
        if name == "bias":
            weights[-1] = -weights[-1]
        found[name] = numbers[:, at : at + width] @ weights
        at += width
    return found
