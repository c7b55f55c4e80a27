"""The contract's arithmetic against exact rational arithmetic."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codesign.models import parse_shape
from codesign.numerics import (
    fixed_point,
    largest_weight,
    longest_sum,
    requantise,
    saturate,
    shift_right,
)

ACCUMULATORS = st.integers(-(1 << 32), (1 << 32) - 1)
MULTIPLIERS = st.integers(1, (1 << 16) - 1)
SHIFTS = st.integers(1, 63)


def exact(accumulator: int, multiplier: int, shift: int, bits: int = 8) -> int:
    """Round half up of the real quotient, then saturate: from the contract's words, without a shift."""
    value = floor(Fraction(accumulator * multiplier, 2**shift) + Fraction(1, 2))
    limit = 2 ** (bits - 1) - 1
    return min(max(value, -limit), limit)


@given(ACCUMULATORS, MULTIPLIERS, SHIFTS, st.sampled_from([8, 16]))
def test_requantisation_is_round_half_up(accumulator: int, multiplier: int, shift: int, bits: int) -> None:
    wanted = exact(accumulator, multiplier, shift, bits)
    assert requantise(accumulator, multiplier, shift, bits) == wanted
    array = [np.array([v], np.int64) for v in (accumulator, multiplier, shift)]
    assert requantise(*array, bits)[0] == wanted
    assert requantise(*map(torch.from_numpy, array), bits).item() == wanted


@pytest.mark.parametrize("multiplier", [1, 2, 3, 0x7FFF, 0x8000, 0xFFFF])
@pytest.mark.parametrize("shift", [1, 2, 15, 16, 17, 31, 47, 63])
def test_requantisation_at_every_corner(multiplier: int, shift: int) -> None:
    """Around every value at which the rounding or the saturation turns, and at the ends of the range."""
    ends = [-(1 << 32), -(1 << 31), -1, 0, 1, (1 << 31) - 1, (1 << 32) - 1]
    turns = [floor(Fraction((2 * y + 1) * 2**shift, 2 * multiplier)) for y in (-128, -127, -2, -1, 0, 1, 126, 127)]
    values = {v + d for v in (*ends, *turns) for d in (-1, 0, 1) if -(1 << 32) <= v + d < 1 << 32}
    for value in values:
        assert requantise(value, multiplier, shift) == exact(value, multiplier, shift)


def test_halves_go_up() -> None:
    assert [shift_right(value, 1) for value in (-3, -2, -1, 0, 1, 2, 3)] == [-1, -1, 0, 0, 1, 1, 2]


def test_saturation_is_symmetric() -> None:
    values = np.array([-200, -128, -127, 127, 128])
    assert saturate(values).tolist() == [-127, -127, -127, 127, 127]
    assert saturate(-40000, 16) == -32767


@given(st.floats(2.0**-40, 2.0**13))
def test_fixed_point_is_near(factor: float) -> None:
    (multiplier,), (shift,) = fixed_point(np.array([factor]))
    assert 1 <= multiplier < 1 << 16
    assert 1 <= shift <= 63
    assert abs(Fraction(int(multiplier), 2 ** int(shift)) / Fraction(factor) - 1) <= Fraction(1, 1 << 16)


def test_fixed_point_of_tiny_factors_stays_positive() -> None:
    multiplier, shift = fixed_point(np.array([1e-30, 2.0**-60]))
    assert (multiplier >= 1).all()
    assert (shift == 63).all()


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf"), 2.0**14])
def test_impossible_factors_are_refused(factor: float) -> None:
    with pytest.raises(ValueError, match="factors must lie above 0"):
        fixed_point(np.array([1.0, factor]))


@pytest.mark.parametrize("bits", [8, 4])
def test_sums_of_the_largest_encoders_fit_int32(bits: int) -> None:
    """Every matrix of a BERT-large, and attention over 512 tokens with heads of 128."""
    shape = parse_shape("hidden=1024,layers=24,ffn=4096,heads=16")
    assert max(m.in_features for m in shape.matrices()) <= longest_sum(bits)
    assert longest_sum(bits) * largest_weight(bits) * 128 < 2**31
    assert (longest_sum(bits) + 1) * largest_weight(bits) * 128 >= 2**31
    assert 512 * 127 * 127 < 2**31
    assert 128 * 127 * 127 < 2**31
