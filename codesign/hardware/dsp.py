"""Packing several small products into one DSP multiplier: what fits, and the exact arithmetic.

A DSP48 multiplies a wide port (27 bit on DSP48E2, 25 bit on DSP48E1) by an 18-bit port into a 48-bit
accumulator that can be cascaded to the next DSP. Operands packed side by side on a port give their products
side by side in the result.

*Two products* share one weight: (a₁·2^s + a₀)·w = a₁w·2^s + a₀w. The lower field holds s bits, signed; as it
borrows from the upper one when negative, the upper is corrected by the lower one's sign. The operand needs
s + 9 ≤ port bits (−128·2^s − 128 is its least value), and the field holds ⌊(2^(s−1) − 1) / largest product⌋
products summed along the cascade before it must be split. For int8 that is s = 18 and 8 products on a
DSP48E2 (the arrangement of Xilinx WP486), and, because no weight is −128 and a product therefore fits 15 bits,
s = 16 and 2 products on a DSP48E1.

*Four products* share two int4 weights and two activations:
(w₁·2^k + w₀)(a₁·2^j + a₀) = w₁a₁·2^(k+j) + w₁a₀·2^k + w₀a₁·2^j + w₀a₀. The 18-bit port leaves j ≤ 9, but a
product of int4 × int8 needs 11 bits, so neighbouring fields overlap by two. The two lowest bits of the upper
product follow from the two lowest bits of its factors, and that resolves the overlap exactly ("overpacking";
Sommer, Özkan, Keszocze, Teich, "DSP-Packing", FPL 2022). There is no room left for a sum: no cascade.

``packed_sums`` is this arithmetic on integers, the reference that generated hardware is held against.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from codesign.boards import DspType
from codesign.errors import InputError
from codesign.numerics import ACTIVATION_BITS, largest_product, largest_weight

RESULT_BITS = 48
NARROW_PORT_BITS = 18
WIDE_PORT_BITS = {DspType.DSP48E1: 25, DspType.DSP48E2: 27}


@dataclass(frozen=True)
class DspPacking:
    """How products lie in one DSP.

    Attributes:
        products: Products per DSP per cycle: 1, 2 or 4.
        activations: Activations (lanes) that share the DSP.
        weights: Weights (rows) that share it.
        activation_shift: s or j: bits between the activations on their port; 0 for one.
        weight_shift: k: bits between the weights on their port; 0 for one.
        field_bits: Width of one sum after splitting.
        longest_chain: Products that may be summed along the cascade before splitting.
    """

    products: int
    activations: int
    weights: int
    activation_shift: int
    weight_shift: int
    field_bits: int
    longest_chain: int

    def cascades(self, columns: int) -> tuple[int, int]:
        """(columns of one cascade, cascades of a row of the array)."""
        chain = min(columns, self.longest_chain)
        return chain, -(-columns // chain)


@cache
def dsp_packing(dsp_type: DspType, weight_bits: int, products: int) -> DspPacking:
    """The arrangement of ``products`` products of ``weight_bits``-bit weights in one DSP of that type.

    Raises:
        InputError: They do not fit.
    """
    largest = largest_product(weight_bits)
    if products == 1:
        chain = ((1 << (RESULT_BITS - 1)) - 1) // largest
        return DspPacking(1, 1, 1, 0, 0, RESULT_BITS, chain)
    if products == 2:
        shift = WIDE_PORT_BITS[dsp_type] - ACTIVATION_BITS - 1
        chain = ((1 << (shift - 1)) - 1) // largest
        return DspPacking(2, 2, 1, shift, 0, shift, chain)
    if products == 4 and weight_bits == 4:
        field = largest.bit_length() + 1
        activation_shift = NARROW_PORT_BITS - ACTIVATION_BITS - 1
        weight_shift = activation_shift + field
        widest = largest_weight(weight_bits) * ((1 << weight_shift) + 1)
        if widest.bit_length() + 1 <= WIDE_PORT_BITS[dsp_type]:
            return DspPacking(4, 2, 2, activation_shift, weight_shift, field, 1)
    raise InputError(
        f"{products} products of int{weight_bits} × int{ACTIVATION_BITS} do not fit one {dsp_type.value}",
        field="dsp_packing",
        value=products,
        accepted=", ".join(str(p) for p in packing_choices(weight_bits)),
    )


def packing_choices(weight_bits: int) -> tuple[int, ...]:
    """Products per DSP that can be asked for at this weight width."""
    return (1, 2, 4) if weight_bits == 4 else (1, 2)


def packed_sums(
    packing: DspPacking, weights: Sequence[Sequence[int]], activations: Sequence[Sequence[int]]
) -> list[list[int]]:
    """What a cascade of DSPs computes, step by step as the hardware does it.

    Args:
        packing: The arrangement.
        weights: Per DSP of the cascade, its ``packing.weights`` weights.
        activations: Per DSP of the cascade, its ``packing.activations`` activations.

    Returns:
        Sums [weight][activation] over the cascade, each as split out of the 48-bit result.

    Raises:
        ValueError: The cascade is longer than the fields can hold.
    """
    if len(weights) > packing.longest_chain:
        raise ValueError(f"a cascade of {len(weights)} is longer than {packing.longest_chain}")
    total = 0
    for w, a in zip(weights, activations, strict=True):
        wide_w = sum(value << (packing.weight_shift * i) for i, value in enumerate(w))
        wide_a = sum(value << (packing.activation_shift * i) for i, value in enumerate(a))
        total = _signed(total + wide_w * wide_a, RESULT_BITS)

    if packing.products == 1:
        return [[total]]
    if packing.products == 2:
        low = _signed(total, packing.field_bits)
        # A negative lower field has borrowed one from the upper: its sign bit gives it back.
        return [[low, (total >> packing.field_bits) + (low < 0)]]

    (w,), (a,) = weights, activations
    sums: list[list[int]] = []
    rest = total
    overlap = packing.field_bits - packing.activation_shift
    for i in range(2):
        # The lowest bits of the upper product, from the lowest bits of its factors alone.
        known = (w[i] * a[1]) & ((1 << overlap) - 1)
        low_bits = rest & ((1 << packing.activation_shift) - 1)
        high_bits = ((rest >> packing.activation_shift) - known) & ((1 << overlap) - 1)
        low = _signed(high_bits << packing.activation_shift | low_bits, packing.field_bits)
        rest = (rest - low) >> packing.activation_shift
        high = _signed(rest, packing.field_bits)
        rest = (rest - high) >> (packing.weight_shift - packing.activation_shift)
        sums.append([low, high])
    return sums


def _signed(value: int, bits: int) -> int:
    """The lowest ``bits`` bits of an integer read as two's complement."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value
