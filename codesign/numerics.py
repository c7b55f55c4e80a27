"""Widths of the numeric contract: what every number in the accelerator is made of.

Activations are int8; weights are int8 or int4, symmetric, never the most negative value; sums are exact in
int32; requantisation is y = saturate((acc·m + 2^(s−1)) >> s) with one (bias, m, s) per output channel.
"""

from __future__ import annotations

ACTIVATION_BITS = 8
ACCUMULATOR_BITS = 32
BIAS_BITS = 32
MULTIPLIER_BITS = 16  # m of the requantisation, unsigned and positive
SHIFT_BITS = 6  # s of the requantisation, 1 … 63

CHANNEL_BITS = BIAS_BITS + MULTIPLIER_BITS + SHIFT_BITS
"""Bits of constants that one output channel needs."""

LARGEST_ACTIVATION = 1 << (ACTIVATION_BITS - 1)
"""Largest magnitude of an activation: 128."""


def largest_weight(weight_bits: int) -> int:
    """Largest magnitude of a weight: 127 at int8, 7 at int4 (the most negative value is not used)."""
    return (1 << (weight_bits - 1)) - 1


def largest_product(weight_bits: int) -> int:
    """Largest magnitude of one weight × activation product: 16256 at int8, 896 at int4."""
    return largest_weight(weight_bits) * LARGEST_ACTIVATION


def longest_sum(weight_bits: int) -> int:
    """The longest sum of products that an int32 accumulator holds exactly, whatever the values."""
    return int(((1 << (ACCUMULATOR_BITS - 1)) - 1) // largest_product(weight_bits))
