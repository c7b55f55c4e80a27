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
    EXP_ENTRIES,
    EXP_STEPS,
    exp_table,
    exponentials,
    layer_norm,
    look_up,
    matmul,
    ratio_constants,
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


def test_the_exponential_table_is_right_in_every_entry() -> None:
    for index, entry in enumerate(exp_table().tolist()):
        value = 127 * 2 ** (-index / EXP_STEPS)
        assert abs(entry - value) <= 0.5
    assert exp_table()[0] == 127
    assert exp_table()[-1] == 0
    assert len(exp_table()) == EXP_ENTRIES


def test_exponentials_of_every_distance() -> None:
    """One query, keys at every distance from the highest score: within the stated bound of the real exponential."""
    scale = 0.0131  # of a score
    scores = -torch.arange(3000)[None, :] + 500
    factor = scale * math.log2(math.e) * EXP_STEPS
    shift = 14
    multiplier = round(factor * 2**shift)
    present = torch.ones(1, 3000, dtype=torch.bool)
    found = exponentials(scores, present, torch.tensor(multiplier), torch.tensor(shift))[0]
    real = 127 * torch.exp(-torch.arange(3000).double() * scale)
    drift = abs(multiplier / 2**shift / factor - 1) * 1024 / EXP_STEPS * math.log(2) * 127 / math.e
    assert (found - real).abs().max() <= 0.5 + 127 * (2 ** (1 / 256) - 1) + drift
    assert found[0] == 127
    assert found[-1] == 0


def test_absent_keys_count_for_nothing() -> None:
    scores = torch.tensor([[5, 900, 4]])
    present = torch.tensor([[True, False, True]])
    found = exponentials(scores, present, torch.tensor(1 << 8), torch.tensor(8))
    assert found.tolist() == [[127, 0, 126]]


@given(st.integers(0, 1 << 20), st.integers(1, 160), st.floats(0.2, 20))
@settings(max_examples=60, deadline=None)
def test_the_weighted_mean_is_near(seed: int, keys: int, ratio: float) -> None:
    weight = numbers(seed, 3, keys, low=0)
    weight[:, 0] = 127  # the highest score's, which is always there
    value = numbers(seed + 1, keys, 4)
    n, s = (torch.from_numpy(part) for part in ratio_constants(np.array([ratio])))
    assert n.item() < 1 << 30
    found = weighted_mean(weight, value, n, s)
    total = weight.sum(-1, keepdim=True)
    real = (weight.double() @ value.double()) / total * ratio
    bound = 0.5 + (127.0 * total * 2.0 ** -(s + 1)) + 127 * ratio * 2.0**-29
    assert ((found - real.clip(-127, 127)).abs() <= bound).all()


@given(st.integers(0, 1 << 20), st.integers(1, 5000), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_the_weighted_mean_is_its_definition(seed: int, numerator: int, shift: int) -> None:
    """Number by number, with numerators so small that every rounding shows."""
    weight, value = numbers(seed, 5, 6, low=1), numbers(seed + 1, 6, 3)
    found = weighted_mean(weight, value, torch.tensor(numerator), torch.tensor(shift))
    for i, row in enumerate(weight.tolist()):
        reciprocal = math.floor(Fraction(numerator + sum(row) // 2, sum(row)))
        for c in range(3):
            total = sum(e * v for e, v in zip(row, value[:, c].tolist(), strict=True))
            real = math.floor(Fraction(total * reciprocal, 2**shift) + Fraction(1, 2))
            assert found[i, c] == max(-127, min(127, real))


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
    g, h = numbers(seed + 2, 9, low=0, high=65535), numbers(seed + 3, 9, low=0, high=65535)
    for shift in (1, 8, 15):
        found = weighted_sum(left, right, g, h, torch.tensor(shift))
        real = (left * g + right * h).double() * 2.0**-shift
        assert ((found - real) <= 0.5).all()
        assert ((found - real) > -0.5).all()


def slow_layer_norm(total: list[int], gain: list[int], offset: list[int], shift: int, epsilon: int) -> list[int]:
    """The definition in Python's own integers, one number at a time."""
    count = len(total)
    mean = math.floor(Fraction(sum(total), count) + Fraction(1, 2))
    distance = [t - mean for t in total]
    root = max(math.isqrt(sum(d * d for d in distance) + epsilon), 1)
    reciprocal = 2**31 // root
    found = []
    for d, g, b in zip(distance, gain, offset, strict=True):
        normal = max(-32767, min(32767, math.floor(Fraction(d * reciprocal, 2**16) + Fraction(1, 2))))
        found.append(max(-127, min(127, math.floor(Fraction(normal * g + b, 2**shift) + Fraction(1, 2)))))
    return found


@given(st.integers(0, 1 << 20), st.sampled_from([1, 2, 31, 384]), st.sampled_from([0, 40, 3000, 131071]))
@settings(max_examples=80, deadline=None)
def test_layer_norm_is_its_definition(seed: int, features: int, spread: int) -> None:
    total = numbers(seed, 3, features, low=-spread, high=spread)
    gain = numbers(seed + 1, features, low=-65535, high=65535)
    offset = numbers(seed + 2, features, low=-(1 << 27), high=1 << 27)
    found = layer_norm(total, gain, offset, torch.tensor(21), torch.tensor(7))
    wanted = [slow_layer_norm(row, gain.tolist(), offset.tolist(), 21, 7) for row in total.tolist()]
    assert found.tolist() == wanted


@given(st.integers(0, 1 << 20), st.sampled_from([16, 384, 1024]), st.sampled_from([300, 3000, 60000]))
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
    root = (total - total.double().mean(-1, keepdim=True)).square().sum(-1, keepdim=True).sqrt()
    normal = 0.5 + 2**15 * (0.5 + 1 + features / (8 * root)) / root + 0.5
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
