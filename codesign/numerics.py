"""The numeric contract: widths of every number in the accelerator, and its one rounding.

Activations are int8, symmetric (−127 … 127); weights are int8 or int4, symmetric, never the most negative value;
sums are exact in int32; requantisation is y = saturate((acc·m + 2^(s−1)) >> s) with one (bias, m, s) per output
channel. The functions work on Python integers, numpy arrays and torch tensors of int64 alike.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

ACTIVATION_BITS = 8
ACCUMULATOR_BITS = 32
BIAS_BITS = 32
MULTIPLIER_BITS = 16  # m of the requantisation, unsigned and positive
SHIFT_BITS = 6  # s of the requantisation, 1 … 63
SCORE_BITS = 16  # of a score
SUM_BITS = 18  # of a residual sum, whose magnitude is at most 2^16 − 1
TABLE_BITS = 1  # which of two activation tables the channel uses, where there are any

CHANNEL_BITS = BIAS_BITS + MULTIPLIER_BITS + SHIFT_BITS + TABLE_BITS
"""Bits of constants that one output channel needs."""

LARGEST_ACTIVATION = 1 << (ACTIVATION_BITS - 1)
"""Magnitude that the hardware takes of an activation: 128. The integer model keeps to 127."""

Integers: TypeAlias = Any
"""int, numpy array of int64 or torch tensor of int64: all have the operators that are used here."""


def largest_weight(weight_bits: int) -> int:
    """Largest magnitude of a weight: 127 at int8, 7 at int4 (the most negative value is not used)."""
    return (1 << (weight_bits - 1)) - 1


def largest_product(weight_bits: int) -> int:
    """Largest magnitude of one weight × activation product: 16256 at int8, 896 at int4."""
    return largest_weight(weight_bits) * LARGEST_ACTIVATION


def sum_bits(weight_bits: int, products: int) -> int:
    """Bits of a sum of so many products, sign included, whatever the values."""
    return largest_product(weight_bits).bit_length() + 1 + (products - 1).bit_length()


def longest_sum(weight_bits: int) -> int:
    """The longest sum of products that an int32 accumulator holds exactly, whatever the values."""
    return int(((1 << (ACCUMULATOR_BITS - 1)) - 1) // largest_product(weight_bits))


def largest_value(bits: int) -> int:
    """Largest magnitude of a signed number of so many bits that is used symmetrically: 127 at 8."""
    return (1 << (bits - 1)) - 1


def saturate(value: Integers, bits: int = ACTIVATION_BITS) -> Integers:
    """The nearest number from −(2^(bits−1) − 1) to 2^(bits−1) − 1."""
    limit = largest_value(bits)
    return max(-limit, min(limit, value)) if isinstance(value, int) else value.clip(-limit, limit)


def shift_right(value: Integers, shift: Integers) -> Integers:
    """⌊value / 2^shift + ½⌋: an arithmetic shift that rounds half up; shift ≥ 1."""
    return (value + (1 << (shift - 1))) >> shift


def requantise(accumulator: Integers, multiplier: Integers, shift: Integers, bits: int = ACTIVATION_BITS) -> Integers:
    """saturate((acc·m + 2^(s−1)) >> s).

    Args:
        accumulator: Sum and bias: 33 bits signed, so that acc·m needs 49.
        multiplier: m, 1 … 2^16 − 1.
        shift: s, 1 … 63.
        bits: Of the result.
    """
    return saturate(shift_right(accumulator * multiplier, shift), bits)


def fixed_point(scale: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(m, s) with m·2^−s nearest to a positive factor: m of 16 bits, so within 2^−16 of it, relatively.

    Factors below 2^−48 get a shorter m, at least 1.

    Raises:
        ValueError: A factor is not positive, not finite, or 2^14 or more.
    """
    scale = np.asarray(scale, dtype=np.float64)
    if not (np.isfinite(scale).all() and (scale > 0).all() and (scale < 1 << (MULTIPLIER_BITS - 2)).all()):
        raise ValueError(f"factors must lie above 0 and below {1 << (MULTIPLIER_BITS - 2)}")
    _, exponent = np.frexp(scale)
    shift = np.minimum(MULTIPLIER_BITS - exponent, (1 << SHIFT_BITS) - 1).astype(np.int64)
    multiplier = np.maximum(np.rint(np.ldexp(scale, shift)), 1).astype(np.int64)
    # 0.99999… rounds up to 2^16: half of it, one place less.
    over = multiplier == 1 << MULTIPLIER_BITS
    return np.where(over, multiplier >> 1, multiplier), np.where(over, shift - 1, shift)
