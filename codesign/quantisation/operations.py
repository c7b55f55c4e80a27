"""The integer operations of the encoder, one definition each: what hardware must reproduce bit for bit.

Every function takes and gives int64 tensors that hold numbers of the stated widths; nothing in it is rounded by
float arithmetic. ``requantise`` and ``saturate`` come from ``codesign.numerics``. Error bounds are against the same
operation in real numbers on the same integers, and are tested in tests/quantisation/test_operations.py.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from codesign.numerics import LARGEST_ACTIVATION, SCORE_BITS, fixed_point, requantise, saturate, shift_right

_EXACT_SUM = (1 << 24) // ((LARGEST_ACTIVATION - 1) * (LARGEST_ACTIVATION - 1))
"""Products of two int8 that float32 sums exactly in any order: every partial sum stays below 2^24. 1040."""

EXP_STEPS = 128
"""Entries of the table of 2^−u per octave of u; a score's integer unit is one of these steps."""
EXP_OCTAVES = 8
"""Octaves that are told apart: 127 · 2^−8 rounds to 0."""
SUM_SHIFT = 6
"""Places behind the point of the gains of a residual sum."""
NORMAL_BITS = 15
"""LayerNorm's normalised values d/σ, which lie in −1 … 1, are held in units of 2^−15."""
DEVIATION_BITS = 18
"""Places behind the point of 1/σ in those units."""
_DEVIATION_LIMIT = (1 << 24) - 1
"""1/σ fits the wide side of every DSP, 25 bits signed."""
_MANTISSA_BITS = 16
_EXP_PLACES = 7


def matmul(left: Tensor, right: Tensor) -> Tensor:
    """The exact product of two matrices of int8, … × M × K by … × K × N, with int32 sums.

    Computed in float32, which is exact on up to 1040 products at a time (see ``_EXACT_SUM``), because integer matrix
    products have no fast kernels on CPUs.
    """
    a, b = left.float(), right.float()
    total: Tensor | None = None
    for first in range(0, a.shape[-1], _EXACT_SUM):
        part = a[..., first : first + _EXACT_SUM] @ b[..., first : first + _EXACT_SUM, :]
        total = part.long() if total is None else total + part.long()
    assert total is not None
    return total


@cache
def exp_table() -> Tensor:
    """round(127 · 2^7 · 2^(−i/128)) for i = 0 … 127: one octave, seven places behind the point."""
    values = [math.floor(127 * 2 ** (_EXP_PLACES - i / EXP_STEPS) + 0.5) for i in range(EXP_STEPS)]
    return torch.tensor(values)


def scores(product: Tensor, multiplier: Tensor, shift: Tensor) -> Tensor:
    """Scores in steps of the exponential: requantise(QKᵀ, m, s) to 16 bits.

    m·2^−s is the product's scale times 128·log₂e, so a step is a factor of 2^(1/128) of the exponential: a score is
    within ½ of a step of the real one, and within 2^−16 of it for the 16 bits of m. Beyond ±255 octaves it saturates.

    Args:
        product: QKᵀ, int32, … × queries × keys.
        multiplier: m, broadcastable (one per head).
        shift: s, likewise.
    """
    return requantise(product, multiplier, shift, SCORE_BITS)


def exponentials(score: Tensor, present: Tensor) -> Tensor:
    """What softmax exponentiates: 127 · 2^(−(highest score − score)/128), 0 … 127; 0 at absent keys.

    With u = min(highest − score, 1023), the octave o = ⌊u / 128⌋ and the rest f, the result is
    ``exp_table()[f]`` >> (7 + o), rounded half up. It differs from the real value at these scores by at most
    ½ (the last rounding) + 2^−8 (the entry's), or, beyond the last octave, by 127 · 2^−8. The highest score always
    gives 127.

    Args:
        score: Of ``scores``, … × queries × keys.
        present: Which keys count, broadcastable to ``score``; at least one for every query.
    """
    lowest = -(1 << SCORE_BITS)
    highest = torch.where(present, score, lowest).amax(-1, keepdim=True)
    distance = torch.where(present, highest - score, 0).clip(max=EXP_STEPS * EXP_OCTAVES - 1)
    places = _EXP_PLACES + distance // EXP_STEPS
    found = shift_right(exp_table().to(score.device)[distance % EXP_STEPS], places)
    return torch.where(present, found, 0)


def bit_length(value: Tensor) -> Tensor:
    """Bits of a whole number from 0 to 2^53 − 1: 0 for 0."""
    return torch.frexp(value.double())[1].long()


def weighted_mean(exponential: Tensor, value: Tensor, numerator: Tensor, shift: Tensor) -> Tensor:
    """The softmax's product with V: Σⱼ eⱼ·vⱼ / Σⱼ eⱼ, times the ratio of the scales of V and of the result, int8.

    The division is done once per query, after the product, so that probabilities are never rounded to 8 bits. With
    S = Σⱼ eⱼ of b bits, q = ⌊n / (S·2^(16−b))⌋ is a multiplier of 16 bits, and the result is
    requantise(Σⱼ eⱼ·vⱼ, q, s − 16 + b), n·2^−s being the ratio of the scales. q is above 2^14 and less than 1 below
    the real quotient, so the result is within ½ + 127 · ratio · 2^−14 of the real one.

    Args:
        exponential: … × queries × keys, 0 … 127, their sum 1 … 2^16 − 1: 516 tokens reach no more.
        value: … × keys × features, int8.
        numerator: n, 2^30 … 2^31 − 1, broadcastable to the result (one per head).
        shift: s, likewise.
    """
    total = exponential.sum(-1, keepdim=True)
    bits = bit_length(total)
    quotient = numerator // (total << (_MANTISSA_BITS - bits))
    return requantise(matmul(exponential, value), quotient, shift - _MANTISSA_BITS + bits)


def ratio_constants(ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, s) of ``weighted_mean`` with n·2^−s nearest to a positive ratio, n of 31 bits and not 2^31.

    Raises:
        ValueError: A ratio is outside of 2^−30 … 2^20.
    """
    value = np.asarray(ratio, dtype=np.float64)
    if not (np.isfinite(value).all() and (value >= 2.0**-30).all() and (value <= 2.0**20).all()):
        raise ValueError("ratios must lie from 2^−30 to 2^20")
    _, exponent = np.frexp(value)
    shift = (31 - exponent).astype(np.int64)
    numerator = np.rint(np.ldexp(value, shift)).astype(np.int64)
    return np.minimum(numerator, (1 << 31) - 1), shift


def square_root(value: Tensor) -> Tensor:
    """⌊√value⌋ for 0 … 2^52: float64's root, set right by one where it rounded across an integer."""
    root = value.double().sqrt().floor().long()
    root = torch.where(root * root > value, root - 1, root)
    return torch.where((root + 1) * (root + 1) <= value, root + 1, root)


def weighted_sum(left: Tensor, right: Tensor, left_gain: Tensor, right_gain: Tensor) -> Tensor:
    """(x·g + y·h + 2^5) >> 6: two int8 tensors, each with a scale per feature, added at one scale.

    Within ½ of the real sum of the products with g·2^−6 and h·2^−6.

    Args:
        left: x, … × N, int8.
        right: y, … × N, int8.
        left_gain: g, 16 bits unsigned, N; 127·(g + h) is at most (2^16 − 1)·2^6.
        right_gain: h, likewise.
    """
    return shift_right(left * left_gain + right * right_gain, SUM_SHIFT)


def mean_constants(features: int) -> tuple[int, int]:
    """(m, s) with m·2^−s nearest to 1 / features, m of 16 bits."""
    multiplier, shift = fixed_point(np.asarray(1 / features))
    return int(multiplier), int(shift)


def layer_norm(total: Tensor, gain: Tensor, offset: Tensor, shift: Tensor, epsilon: Tensor) -> Tensor:
    """LayerNorm over the last axis, int8, of sums of at most 18 bits.

    With N features and (m, r) of ``mean_constants``: mean μ = (m·Σt + 2^(r−1)) >> r, d = t − μ, and
    V = max(Σt² − μ·(2Σt − N·μ) + ε, 1), which is Σd² + ε exactly, so that sums can be taken before μ is known. With
    k = ⌈b / 2⌉ for the b bits of V, the root is R = ⌊√(V·2^(32−2k))⌋, 16 bits, its reciprocal q = ⌊(2^31 − 1) / R⌋,
    16 bits, and 1/σ in units of 2^−33 is ρ = min(⌊q·2^(18−k)⌋, 2^24 − 1). Then n = saturate16((d·ρ + 2^17) >> 18),
    which is d/σ in units of 2^−15, and the result is saturate((n·g + b + 2^(s−1)) >> s), where
    g·2^−s = γ·√N·2^−15 / scale and b·2^−s = β / scale per feature.

    μ is within ½ + 2^−17·|mean| ≤ 1 of the mean, so d too, and V exceeds its real value by at most N, σ thus by N/2σ.
    R, of 16 bits, is less than 1 below the root, q less than 1 below its quotient, ρ likewise, which has 34 − k bits
    where k > 18: 1/σ is within 2^−14·(1 + 2^(k−18)) of itself. So for σ ≥ 2^9, n is within
    ½ + 2^15·((1 + N/2σ)/σ + 2^−14·(1 + 2^(k−18))·|d|/σ) units of 2^−15, and the result within that times |g|·2^−s,
    plus ½. For smaller σ, ρ saturates: the features of such a token are alike within 2^9, where 2^16 is the largest.

    Args:
        total: … × N.
        gain: g, 17 bits signed, N.
        offset: b, 33 bits signed, N.
        shift: s, scalar.
        epsilon: N·ε / scale², scalar.
    """
    features = total.shape[-1]
    multiplier, mean_shift = mean_constants(features)
    plain, squares = total.sum(-1, keepdim=True), total.square().sum(-1, keepdim=True)
    mean = shift_right(plain * multiplier, mean_shift)
    variance = (squares - mean * (2 * plain - features * mean) + epsilon).clip(min=1)
    half = (bit_length(variance) + 1) // 2
    root = square_root(_scaled(variance, 32 - 2 * half))
    deviation = _scaled(((1 << 31) - 1) // root, DEVIATION_BITS - half).clip(max=_DEVIATION_LIMIT)
    normal = saturate(shift_right((total - mean) * deviation, DEVIATION_BITS), 16)
    return saturate(shift_right(normal * gain + offset, shift))


def _scaled(value: Tensor, places: Tensor) -> Tensor:
    """⌊value · 2^places⌋, for places of either sign."""
    return (value << places.clip(min=0)) >> (-places).clip(min=0)


def look_up(tables: Tensor, which: Tensor, value: Tensor) -> Tensor:
    """Tables of 256 entries, for −128 … 127; ``which`` one, per feature."""
    return tables[which, value + LARGEST_ACTIVATION]


def linear(value: Tensor, weight: Tensor, bias: Tensor, multiplier: Tensor, shift: Tensor) -> Tensor:
    """requantise(x·Wᵀ + b, m, s): … × K by N × K to … × N."""
    return requantise(matmul(value, weight.transpose(-1, -2)) + bias, multiplier, shift)
