"""Words bit by bit: against Python integers built one bit at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from codesign.hardware.images import index_bits
from codesign.packing.blocks import pack
from codesign.packing.words import (
    CHANNEL_FIELDS,
    channel_words,
    from_channels,
    from_index,
    from_words,
    index_entries,
    to_words,
)
from tests.packing.test_blocks import masked


def as_numbers(words: NDArray[np.uint8]) -> list[int]:
    return [int.from_bytes(row.tobytes(), "little") for row in words]


def joined(values: list[int], bits: int) -> int:
    """Numbers side by side in one long integer, the first lowest."""
    total = 0
    for number, value in enumerate(values):
        total |= (value % (1 << bits)) << (number * bits)
    return total


def cut(value: int, bits: int, word_bits: int) -> list[int]:
    return [(value >> at) % (1 << word_bits) for at in range(0, bits, word_bits)]


@given(st.sampled_from([4, 8, 11]), st.integers(1, 20), st.integers(1, 140), st.integers(0, 1 << 30))
@settings(max_examples=150, deadline=None)
def test_words_hold_their_numbers_bit_by_bit(bits: int, count: int, word_bits: int, seed: int) -> None:
    limit = 1 << (bits - 1)
    values = np.random.default_rng(seed).integers(-limit, limit, (3, count))
    words = to_words(values, bits, word_bits)
    wanted = [piece for row in values.tolist() for piece in cut(joined(row, bits), count * bits, word_bits)]
    assert as_numbers(words) == wanted
    assert words.shape[1] == -(-word_bits // 8)
    assert np.array_equal(from_words(words, bits, count, word_bits), values)


def test_a_block_by_hand() -> None:
    """2 × 2, int8, in words of 16 bits: (0,0) and (0,1) below, (1,0) and (1,1) above."""
    words = to_words(np.array([[1, -2, 3, -128 + 1]], np.int8), 8, 16)
    assert as_numbers(words) == [0xFE01, 0x8103]


def test_int4_by_hand() -> None:
    assert as_numbers(to_words(np.array([[1, -1, 7, -7]], np.int8), 4, 16)) == [0x97F1]


def test_an_index_by_hand() -> None:
    """4 column blocks: 2 bits of column or more, last and empty highest; rows with columns 1 and 3, none, and 0."""
    weight = np.zeros((3, 4), np.int8)
    weight[0, 1] = weight[0, 3] = weight[2, 0] = 1
    packed = pack(weight, (1, 1))
    assert index_entries(packed, 4).tolist() == [0b0001, 0b0111, 0b1100, 0b0100]
    assert index_entries(packed, 7).tolist() == [0b0000001, 0b0100011, 0b1100000, 0b0100000]


@given(masked())
@settings(max_examples=150, deadline=None)
def test_the_index_leads_back(case: tuple[NDArray[np.int8], tuple[int, int], NDArray[np.bool_]]) -> None:
    packed = pack(*case)
    bits = index_bits(packed.block_columns) + len(packed.blocks) % 3
    columns, row_blocks = from_index(index_entries(packed, bits), bits)
    assert np.array_equal(columns, packed.columns)
    assert np.array_equal(row_blocks, packed.row_blocks)


@given(st.sampled_from([(4, 1), (4, 2), (4, 4), (6, 3), (1, 1)]), st.integers(1, 23), st.integers(0, 1 << 30))
@settings(max_examples=60, deadline=None)
def test_channels_hold_their_fields_bit_by_bit(shape: tuple[int, int], count: int, seed: int) -> None:
    rows, interval = shape
    generator = np.random.default_rng(seed)
    columns = (
        generator.integers(-(1 << 31), 1 << 31, count),
        generator.integers(1, 1 << 16, count),
        generator.integers(1, 64, count),
        generator.integers(0, 2, count),
    )
    bits = sum(width for _, width in CHANNEL_FIELDS)
    assert bits == 55
    per_word = rows // interval
    words = channel_words(columns, rows, interval, per_word * bits)
    wanted = []
    for first in range(0, -(-count // rows) * rows, per_word):
        word = 0
        for place in range(per_word):
            channel = first + place
            if channel < count:
                bias, multiplier, shift, table = (int(column[channel]) for column in columns)
                one = bias % (1 << 32) | multiplier << 32 | shift << 48 | table << 54
                word |= one << (place * 55)
        wanted.append(word)
    assert as_numbers(words) == wanted
    found = from_channels(words, count, rows, interval, per_word * bits)
    for (name, _), column in zip(CHANNEL_FIELDS, columns, strict=True):
        assert np.array_equal(found[name], column)
