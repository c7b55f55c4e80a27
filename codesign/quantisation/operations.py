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

from codesign.numerics import LARGEST_ACTIVATION, requantise, saturate, shift_right

_EXACT_SUM = (1 << 24) // ((LARGEST_ACTIVATION - 1) * (LARGEST_ACTIVATION - 1))
"""Products of two int8 that float32 sums exactly in any order: every partial sum stays below 2^24. 1040."""

EXP_STEPS = 128
"""Entries of the table of 2^−u per octave of u."""
EXP_ENTRIES = 1024
"""Entries of the table: 2^(−1024/128) · 127 rounds to 0."""
NORMAL_BITS = 15
"""LayerNorm's normalised values d/σ, which lie in −1 … 1, are held in units of 2^−15."""
_RECIPROCAL_BITS = 31


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
    """round(127 · 2^(−i/128)) for i = 0 … 1023."""
    values = [math.floor(127 * 2 ** (-i / EXP_STEPS) + 0.5) for i in range(EXP_ENTRIES)]
    return torch.tensor(values)


def exponentials(scores: Tensor, present: Tensor, multiplier: Tensor, shift: Tensor) -> Tensor:
    """What softmax exponentiates: round(127 · exp(score − highest score)), 0 … 127; 0 at absent keys.

    With d = highest − score ≥ 0 and u = min(requantise(d, m, s), 1023), where m·2^−s is the scores' scale times
    128·log₂e, the result is ``exp_table()[u]``. It differs from the real value by at most ½ (rounding of the entry)
    + 127·(2^(1/256) − 1) = 0.345 (rounding of u), and by 2^−16 · u of a step for the 16 bits of m. The highest score
    always gives 127.

    Args:
        scores: QKᵀ, int32, … × queries × keys.
        present: Which keys count, broadcastable to ``scores``; at least one for every query.
        multiplier: m, broadcastable (one per head).
        shift: s, likewise.
    """
    lowest = -(1 << 31)
    highest = torch.where(present, scores, lowest).amax(-1, keepdim=True)
    distance = torch.where(present, highest - scores, 0)
    step = shift_right(distance * multiplier, shift).clip(max=EXP_ENTRIES - 1)
    return torch.where(present, exp_table().to(scores.device)[step], 0)


def weighted_mean(exponential: Tensor, value: Tensor, numerator: Tensor, shift: Tensor) -> Tensor:
    """The softmax's product with V: Σⱼ eⱼ·vⱼ / Σⱼ eⱼ, times the ratio of the scales of V and of the result, int8.

    The division is done once per query, after the product, so that probabilities are never rounded to 8 bits: with
    S = Σⱼ eⱼ and r = ⌊(n + ⌊S/2⌋) / S⌋ the result is saturate((Σⱼ eⱼ·vⱼ · r + 2^(s−1)) >> s), n·2^−s being the
    ratio of the scales. n has 30 bits, so r is within ½ of n / S, and the result within ½ + 127·S·2^−(s+1) + 2^−22
    of the real one; the middle term is at most 2^−7·ratio for S < 2^16, which 516 tokens reach.

    Args:
        exponential: … × queries × keys, 0 … 127.
        value: … × keys × features, int8.
        numerator: n, broadcastable to the result (one per head).
        shift: s, likewise.
    """
    total = exponential.sum(-1, keepdim=True)
    reciprocal = (numerator + total // 2) // total
    return saturate(shift_right(matmul(exponential, value) * reciprocal, shift))


def ratio_constants(ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, s) of ``weighted_mean`` with n·2^−s nearest to a positive ratio, n of 30 bits."""
    _, exponent = np.frexp(np.asarray(ratio, dtype=np.float64))
    shift = (30 - exponent).astype(np.int64)
    return np.rint(np.ldexp(ratio, shift)).astype(np.int64), shift


def square_root(value: Tensor) -> Tensor:
    """⌊√value⌋ for 0 … 2^52: float64's root, set right by one where it rounded across an integer."""
    root = value.double().sqrt().floor().long()
    root = torch.where(root * root > value, root - 1, root)
    return torch.where((root + 1) * (root + 1) <= value, root + 1, root)


def weighted_sum(left: Tensor, right: Tensor, left_gain: Tensor, right_gain: Tensor, shift: Tensor) -> Tensor:
    """(x·g + y·h + 2^(s−1)) >> s: two int8 tensors, each with a scale per feature, added at one scale.

    Within ½ of the real sum of the products with g·2^−s and h·2^−s.

    Args:
        left: x, … × N, int8.
        right: y, … × N, int8.
        left_gain: g, 16 bits unsigned, N.
        right_gain: h, likewise.
        shift: s, scalar.
    """
    return shift_right(left * left_gain + right * right_gain, shift)


def layer_norm(total: Tensor, gain: Tensor, offset: Tensor, shift: Tensor, epsilon: Tensor) -> Tensor:
    """LayerNorm over the last axis, int8, of sums of at most 18 bits.

    With N features: mean μ = ⌊(2·Σt + N) / 2N⌋, d = t − μ, V = Σd² + ε, σ = max(⌊√V⌋, 1), ρ = ⌊2^31 / σ⌋,
    n = saturate16((d·ρ + 2^15) >> 16), which is d/σ in units of 2^−15, and the result is
    saturate((n·g + b + 2^(s−1)) >> s), where g·2^−s = γ·√N·2^−15 / scale and b·2^−s = β / scale per feature.

    μ is within ½ of the mean, so d too; V exceeds its real value by at most N/4; σ is within 1 of the root, ρ of
    2^31/σ. So n is within ½ + 2^15·(½ + 1 + N/8σ)/σ + 2^−1 units of 2^−15, and the result within that times
    |g|·2^−s, plus ½.

    Args:
        total: … × N.
        gain: g, 17 bits signed, N.
        offset: b, N.
        shift: s, scalar.
        epsilon: N·ε / scale², scalar.
    """
    features = total.shape[-1]
    mean = (2 * total.sum(-1, keepdim=True) + features) // (2 * features)
    distance = total - mean
    root = square_root(distance.square().sum(-1, keepdim=True) + epsilon).clip(min=1)
    reciprocal = (1 << _RECIPROCAL_BITS) // root
    normal = saturate(shift_right(distance * reciprocal, _RECIPROCAL_BITS - NORMAL_BITS), 16)
    return saturate(shift_right(normal * gain + offset, shift))


def look_up(tables: Tensor, which: Tensor, value: Tensor) -> Tensor:
    """Tables of 256 entries, for −128 … 127; ``which`` one, per feature."""
    return tables[which, value + LARGEST_ACTIVATION]


def linear(value: Tensor, weight: Tensor, bias: Tensor, multiplier: Tensor, shift: Tensor) -> Tensor:
    """requantise(x·Wᵀ + b, m, s): … × K by N × K to … × N."""
    return requantise(matmul(value, weight.transpose(-1, -2)) + bias, multiplier, shift)
