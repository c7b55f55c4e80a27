from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.boards import DspType
from codesign.errors import InputError
from codesign.hardware.dsp import WIDE_PORT_BITS, DspPacking, dsp_packing, packed_sums

ARRANGEMENTS = [
    (dsp, bits, products) for dsp in DspType for bits, products in [(8, 1), (8, 2), (4, 1), (4, 2), (4, 4)]
]
IDS = [f"{dsp.value}-int{bits}x{products}" for dsp, bits, products in ARRANGEMENTS]


def plain_sums(weights: list[list[int]], activations: list[list[int]]) -> list[list[int]]:
    """The same sums without any packing."""
    return [
        [sum(w[i] * a[j] for w, a in zip(weights, activations, strict=True)) for j in range(len(activations[0]))]
        for i in range(len(weights[0]))
    ]


def limits(bits: int) -> tuple[int, int]:
    """Range of a weight: the most negative value is not used."""
    return -(2 ** (bits - 1)) + 1, 2 ** (bits - 1) - 1


@pytest.mark.parametrize(("dsp", "bits", "products"), ARRANGEMENTS, ids=IDS)
@given(data=st.data())
def test_packed_sums_are_the_plain_sums(dsp: DspType, bits: int, products: int, data: st.DataObject) -> None:
    packing = dsp_packing(dsp, bits, products)
    length = data.draw(st.integers(1, min(packing.longest_chain, 20)))

    def chain(low: int, high: int, width: int) -> list[list[int]]:
        one = st.lists(st.integers(low, high), min_size=width, max_size=width)
        return data.draw(st.lists(one, min_size=length, max_size=length))

    weights = chain(*limits(bits), packing.weights)
    activations = chain(-128, 127, packing.activations)
    assert packed_sums(packing, weights, activations) == plain_sums(weights, activations)


@pytest.mark.parametrize(("dsp", "bits", "products"), ARRANGEMENTS, ids=IDS)
def test_the_longest_chain_holds_the_most_extreme_values(dsp: DspType, bits: int, products: int) -> None:
    packing = dsp_packing(dsp, bits, products)
    length = min(packing.longest_chain, 200)
    for weight, activation in product(limits(bits), (-128, 127)):
        for other in (-128, -1, 0, 127):
            weights = [[weight] * packing.weights] * length
            activations = [[activation, other][: packing.activations]] * length
            assert packed_sums(packing, weights, activations) == plain_sums(weights, activations)


@pytest.mark.parametrize("dsp", DspType)
def test_four_products_exhaustively_in_the_weights(dsp: DspType) -> None:
    packing = dsp_packing(dsp, 4, 4)
    edge = (-128, -127, -65, -64, -2, -1, 0, 1, 2, 3, 63, 64, 126, 127)
    for w0, w1, a0, a1 in product(range(-7, 8), range(-7, 8), edge, edge):
        assert packed_sums(packing, [[w0, w1]], [[a0, a1]]) == [[w0 * a0, w0 * a1], [w1 * a0, w1 * a1]]


@pytest.mark.parametrize(("dsp", "bits", "products"), ARRANGEMENTS, ids=IDS)
def test_packed_operands_fit_the_ports(dsp: DspType, bits: int, products: int) -> None:
    packing = dsp_packing(dsp, bits, products)

    def packed(low: int, high: int, count: int, shift: int) -> list[int]:
        corners = product((low, high), repeat=count)
        return [sum(value << (shift * i) for i, value in enumerate(corner)) for corner in corners]

    wide_w = packed(*limits(bits), packing.weights, packing.weight_shift)
    wide_a = packed(-128, 127, packing.activations, packing.activation_shift)

    def bits_of(values: list[int]) -> int:
        return max((v if v >= 0 else ~v).bit_length() + 1 for v in values)

    narrow, wide = sorted((bits_of(wide_w), bits_of(wide_a)))
    assert narrow <= 18
    assert wide <= {DspType.DSP48E1: 25, DspType.DSP48E2: 27}[dsp]


def test_int8_pairs_are_what_was_worked_out_by_hand() -> None:
    # DSP48E2, Xilinx WP486: 18 bits apart. 8 · 127 · 128 = 130048 < 2^17 = 131072 ≤ 9 · 127 · 128.
    assert dsp_packing(DspType.DSP48E2, 8, 2) == DspPacking(2, 2, 1, 18, 0, 18, 8)
    # DSP48E1: 16 bits apart, 25 port bits. 2 · 16256 = 32512 < 2^15 ≤ 3 · 16256.
    assert dsp_packing(DspType.DSP48E1, 8, 2) == DspPacking(2, 2, 1, 16, 0, 16, 2)


def test_one_more_in_the_chain_would_overflow_the_field() -> None:
    packing = dsp_packing(DspType.DSP48E2, 8, 2)
    with pytest.raises(ValueError, match="longer than 8"):
        packed_sums(packing, [[127]] * 9, [[-128, 0]] * 9)
    longer = DspPacking(2, 2, 1, 18, 0, 18, 9)
    assert packed_sums(longer, [[127]] * 9, [[-128, 0]] * 9) != plain_sums([[127]] * 9, [[-128, 0]] * 9)


def test_four_int8_products_do_not_fit() -> None:
    for dsp in WIDE_PORT_BITS:
        with pytest.raises(InputError, match=r"4 products of int8 × int8 do not fit one DSP48E\d.*accepted: 1, 2"):
            dsp_packing(dsp, 8, 4)
