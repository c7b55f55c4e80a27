"""The integer operations: exhaustively where inputs are few, else on random ones, against plain Python and floats."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codesign.quantisation.operations import (
    EXP_OCTAVES,
    EXP_STEPS,
    SUM_SHIFT,
    bit_length,
    exponentials,
    layer_norm,
    look_up,
    matmul,
    mean_constants,
    ratio_constants,
    scores,
    square_root,
    weighted_mean,
    weighted_sum,
)


def numbers(seed: int, *shape: int, low: int = -127, high: int = 127) -> torch.Tensor:
    return torch.randint(low, high + 1, shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("inner", [1, 7, 1040, 1041, 2080, 3072, 4096])
def test_products_are_exact(inner: int) -> None:
    """Also where all partial sums are as large as they can be."""
    for left, right in (
        (numbers(0, 2, 5, inner), numbers(1, inner, 3)),
        (torch.full((2, 5, inner), 127), torch.full((inner, 3), 127)),
        (torch.full((2, 5, inner), -127), torch.full((inner, 3), 127)),
    ):
        assert np.array_equal(matmul(left, right).numpy(), left.numpy() @ right.numpy())


def test_scores_are_in_steps_of_the_exponential() -> None:
    """Within half a step and the multiplier's rounding of the real score, saturated at 16 bits."""
    product = numbers(0, 4000, low=-(1 << 20), high=1 << 20)
    multiplier, shift = 40000, 20
    found = scores(product, torch.tensor(multiplier), torch.tensor(shift))
    real = (product.double() * multiplier / 2**shift).clip(-32767, 32767)
    assert (found - real).abs().max() <= 0.5
    assert found.max() == (1 << 15) - 1


def test_exponentials_of_every_distance() -> None:
    """One query, keys at every distance from the highest score: within the stated bound of the real exponential."""
    distance = torch.arange(3000)
    found = exponentials(500 - distance[None, :], torch.ones(1, 3000, dtype=torch.bool))[0]
    real = 127 * 2.0 ** (-distance.double() / EXP_STEPS)
    last = EXP_STEPS * EXP_OCTAVES
    assert (found - real).abs()[:last].max() <= 0.5 + 2.0**-8
    assert (found - real).abs()[last:].max() <= 127 * 2.0**-8
    assert found[0] == 127
    assert (found.diff() <= 0).all()


def test_exponentials_are_their_definition() -> None:
    """Entry by entry in Python's own numbers; the distance may be all that 16 bits hold."""
    for distance in (0, 1, 63, 64, 127, 128, 500, 1022, 1023, 1024, 65534):
        octave, rest = divmod(min(distance, 1023), 128)
        entry = math.floor(127 * 2 ** (7 - rest / 128) + 0.5)
        wanted = math.floor(Fraction(entry, 2 ** (7 + octave)) + Fraction(1, 2))
        found = exponentials(torch.tensor([[32767, 32767 - distance]]), torch.ones(1, 2, dtype=torch.bool))
        assert found.tolist() == [[127, wanted]]


def test_absent_keys_count_for_nothing() -> None:
    present = torch.tensor([[True, False, True]])
    assert exponentials(torch.tensor([[5, 900, 4]]), present).tolist() == [[127, 0, 126]]
    # Also where all that are there have the lowest score.
    assert exponentials(torch.tensor([[-32767, 0, -32767]]), present).tolist() == [[127, 0, 127]]


def test_bits_are_counted() -> None:
    edges = [value for bits in range(53) for value in ((1 << bits) - 1, 1 << bits)]
    assert bit_length(torch.tensor(edges)).tolist() == [value.bit_length() for value in edges]


@given(st.integers(0, 1 << 20), st.integers(1, 512), st.floats(0.2, 20))
@settings(max_examples=60, deadline=None)
def test_the_weighted_mean_is_near(seed: int, keys: int, ratio: float) -> None:
    weight = numbers(seed, 3, keys, low=0)
    weight[:, 0] = 127  # the highest score's, which is always there
    value = numbers(seed + 1, keys, 4)
    n, s = (torch.from_numpy(part) for part in ratio_constants(np.array([ratio])))
    assert 1 << 30 <= n.item() < 1 << 31
    found = weighted_mean(weight, value, n, s)
    real = (weight.double() @ value.double()) / weight.sum(-1, keepdim=True) * ratio
    bound = 0.5 + 127 * ratio * 2.0**-14
    assert ((found - real.clip(-127, 127)).abs() <= bound).all()


@given(st.integers(0, 1 << 20), st.integers(1 << 30, (1 << 31) - 1), st.integers(28, 45), st.integers(1, 512))
@settings(max_examples=60, deadline=None)
def test_the_weighted_mean_is_its_definition(seed: int, numerator: int, shift: int, keys: int) -> None:
    """Number by number."""
    weight, value = numbers(seed, 5, keys, low=0), numbers(seed + 1, keys, 3)
    weight[:, 0] = 127
    found = weighted_mean(weight, value, torch.tensor(numerator), torch.tensor(shift))
    for i, row in enumerate(weight.tolist()):
        bits = sum(row).bit_length()
        quotient = math.floor(Fraction(numerator, sum(row) * 2 ** (16 - bits)))
        assert quotient < 1 << 16
        for c in range(3):
            total = sum(e * v for e, v in zip(row, value[:, c].tolist(), strict=True))
            real = math.floor(Fraction(total * quotient, 2 ** (shift - 16 + bits)) + Fraction(1, 2))
            assert found[i, c] == max(-127, min(127, real))


def test_a_ratio_out_of_range_is_refused() -> None:
    for ratio in (0.0, -1.0, math.nan, 2.0**21):
        with pytest.raises(ValueError, match="ratios must lie"):
            ratio_constants(np.array([ratio]))


def test_the_square_root_is_exact() -> None:
    roots = torch.cat([torch.arange(3000), numbers(0, 3000, low=3000, high=(1 << 26) - 2)])
    squares = roots * roots
    assert torch.equal(square_root(squares), roots)
    assert torch.equal(square_root(squares + 2 * roots), roots)
    assert torch.equal(square_root(squares[1:] - 1), roots[1:] - 1)


@given(st.integers(0, 1 << 20))
@settings(max_examples=50, deadline=None)
def test_the_weighted_sum_is_near(seed: int) -> None:
    left, right = numbers(seed, 4, 9), numbers(seed + 1, 4, 9)
    g, h = numbers(seed + 2, 9, low=0, high=16000), numbers(seed + 3, 9, low=0, high=16000)
    found = weighted_sum(left, right, g, h)
    real = (left * g + right * h).double() * 2.0**-SUM_SHIFT
    assert ((found - real) <= 0.5).all()
    assert ((found - real) > -0.5).all()


def test_the_mean_of_any_number_of_features() -> None:
    for features in range(1, 4097):
        multiplier, shift = mean_constants(features)
        assert 1 << 15 <= multiplier < 1 << 16
        assert abs(multiplier / 2**shift * features - 1) <= 2.0**-16


def slow_layer_norm(total: list[int], gain: list[int], offset: list[int], shift: int, epsilon: int) -> list[int]:
    """The definition in Python's own integers, one number at a time."""
    count = len(total)
    multiplier, places = mean_constants(count)
    mean = math.floor(Fraction(sum(total) * multiplier, 2**places) + Fraction(1, 2))
    variance = max(sum((t - mean) ** 2 for t in total) + epsilon, 1)
    half = math.ceil(variance.bit_length() / 2)
    root = math.isqrt(math.floor(Fraction(variance) * Fraction(2) ** (32 - 2 * half)))
    deviation = min(math.floor((2**31 - 1) // root * Fraction(2) ** (18 - half)), 2**24 - 1)
    found = []
    for t, g, b in zip(total, gain, offset, strict=True):
        normal = max(-32767, min(32767, math.floor(Fraction((t - mean) * deviation, 2**18) + Fraction(1, 2))))
        found.append(max(-127, min(127, math.floor(Fraction(normal * g + b, 2**shift) + Fraction(1, 2)))))
    return found


@given(st.integers(0, 1 << 20), st.sampled_from([1, 2, 31, 384]), st.sampled_from([0, 1, 40, 3000, 65535]))
@settings(max_examples=80, deadline=None)
def test_layer_norm_is_its_definition(seed: int, features: int, spread: int) -> None:
    total = numbers(seed, 3, features, low=-spread, high=spread)
    gain = numbers(seed + 1, features, low=-65535, high=65535)
    offset = numbers(seed + 2, features, low=-(1 << 27), high=1 << 27)
    found = layer_norm(total, gain, offset, torch.tensor(21), torch.tensor(7))
    wanted = [slow_layer_norm(row, gain.tolist(), offset.tolist(), 21, 7) for row in total.tolist()]
    assert found.tolist() == wanted


@given(st.integers(0, 1 << 20), st.sampled_from([16, 384, 1024]), st.sampled_from([1000, 3000, 60000]))
@settings(max_examples=80, deadline=None)
def test_layer_norm_is_near_pytorchs(seed: int, features: int, spread: int) -> None:
    """Against torch's LayerNorm in float64, within the bound of the docstring."""
    total = numbers(seed, 5, features, low=-spread, high=spread)
    weight = torch.rand(features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
    bias = torch.rand(features, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64) - 0.5
    scale, shift = 0.02, 22
    unit = math.sqrt(features) * 2.0 ** (shift - 15) / scale
    gain, offset = (weight * unit).round().long(), (bias / scale * 2.0**shift).round().long()
    epsilon = 1e-12
    found = layer_norm(total, gain, offset, torch.tensor(shift), torch.tensor(0))
    real = torch.nn.functional.layer_norm(total.double(), (features,), weight, bias, epsilon) / scale
    distance = total - total.double().mean(-1, keepdim=True)
    root = distance.square().sum(-1, keepdim=True).sqrt()
    assert root.min() >= 1 << 9
    half = (root.log2().floor() + 1).clip(min=18)
    relative = 2.0**-14 * (1 + 2.0 ** (half - 18))
    normal = 0.5 + 2**15 * ((1 + features / (2 * root)) / root + relative * distance.abs() / root)
    bound = normal * gain.abs() * 2.0**-shift + 0.5 + 2 * 2.0**-shift * 2**15
    assert ((found - real.clip(-127, 127)).abs() <= bound).all()


def test_a_constant_row_has_no_deviation() -> None:
    total = torch.full((1, 8), 77)
    found = layer_norm(total, torch.full((8,), 1000), torch.full((8,), 5 << 10), torch.tensor(10), torch.tensor(0))
    assert found.tolist() == [[5] * 8]


def test_tables_are_looked_up_by_feature() -> None:
    tables = torch.stack([torch.arange(256) - 128, 128 - torch.arange(256)])
    which = torch.tensor([0, 1])
    for value in range(-128, 128):
        assert look_up(tables, which, torch.tensor([[value, value]])).tolist() == [[value, -value]]
