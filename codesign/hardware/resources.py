"""What a design takes of the device, unit by unit, from first principles.

DSPs follow from the array and the packing, memories from their true width and depth on the device's
primitives, LUTs and flip-flops from the number and width of the engine's units times the coefficients of
``coefficients.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Literal

from codesign.boards import Board, DspType
from codesign.files import read_yaml
from codesign.hardware.accelerator import Accelerator, SparseMatrix, WeightMemory
from codesign.hardware.cycles import token_groups
from codesign.hardware.dsp import WIDE_PORT_BITS, dsp_packing
from codesign.hardware.images import block_words, index_bits
from codesign.hardware.memories import (
    DEEPEST_DISTRIBUTED,
    Storage,
    bram18,
    ceil_div,
    depth_tiles,
    distributed_luts,
    uram,
)
from codesign.numerics import (
    ACCUMULATOR_BITS,
    ACTIVATION_BITS,
    CHANNEL_BITS,
    MULTIPLIER_BITS,
    largest_product,
)

RESOURCES = ("lut", "ff", "bram18", "uram", "dsp")
_BURST_WORDS = 512
"""Words that an AXI read port buffers: two of the longest bursts (256 beats)."""


@dataclass(frozen=True)
class Resources:
    """Counts of the five resources, in the units of the board files."""

    lut: int = 0
    ff: int = 0
    bram18: int = 0
    uram: int = 0
    dsp: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.lut + other.lut,
            self.ff + other.ff,
            self.bram18 + other.bram18,
            self.uram + other.uram,
            self.dsp + other.dsp,
        )

    def fits(self, limit: Resources) -> bool:
        """Whether no resource is above its limit."""
        return not self.exceeding(limit)

    def exceeding(self, limit: Resources) -> tuple[str, ...]:
        """The resources that are above their limit."""
        return tuple(name for name in RESOURCES if getattr(self, name) > getattr(limit, name))


def usable_resources(board: Board) -> Resources:
    """What a design may use of the board: device totals × usable fractions, rounded down."""
    return Resources(
        **{name: int(getattr(board.device, name) * getattr(board.usable, name) + 1e-9) for name in RESOURCES}
    )


@dataclass(frozen=True)
class Coefficient:
    """LUTs and flip-flops of one unit.

    Attributes:
        lut, ff: Counts per ``per``.
        per: What one unit is.
        basis: ``measured`` in synthesis, or an ``allowance`` that nothing has measured yet.
        how: How the figures were obtained.
    """

    lut: float
    ff: float
    per: str
    basis: Literal["measured", "allowance"]
    how: str


@dataclass(frozen=True)
class Coefficients:
    """The table of LUT and flip-flop coefficients; the file carries the same names."""

    split_two: Coefficient
    split_four: Coefficient
    tree_adder: Coefficient
    accumulate: Coefficient
    select: Coefficient
    requantise: Coefficient
    skew: Coefficient
    weight: Coefficient
    control: Coefficient
    axi_read_port: Coefficient


COEFFICIENTS_FILE = Path(__file__).with_name("coefficients.yaml")


@cache
def coefficients() -> Coefficients:
    """The table that comes with the package."""
    return read_yaml(COEFFICIENTS_FILE, Coefficients)


def multiplier_dsps(width_a: int, width_b: int, dsp_type: DspType) -> int:
    """DSPs for one signed product of these widths, the wider factor cut to fit the wide port.

    A cut leaves unsigned lower parts, which need the port's sign bit as a zero.
    """
    wide, narrow = max(width_a, width_b), min(width_a, width_b)
    port = WIDE_PORT_BITS[dsp_type]
    if narrow > 18:
        raise ValueError(f"no factor fits 18 bits: {width_a} × {width_b}")
    return 1 if wide <= port else ceil_div(wide - port, port - 1) + 1


def array_dsps(accelerator: Accelerator, dsp_type: DspType) -> int:
    """DSPs of the array: R·C·L products, packed."""
    packing = dsp_packing(dsp_type, accelerator.weight_bits, accelerator.dsp_packing)
    rows = ceil_div(accelerator.rows, packing.weights)
    lanes = ceil_div(accelerator.lanes, packing.activations)
    return rows * accelerator.cols * lanes


def requantiser_dsps(accelerator: Accelerator, dsp_type: DspType) -> int:
    """DSPs of the requantisers: (accumulator + bias) × multiplier, R/Q · L of them."""
    count = accelerator.rows // accelerator.requant_interval * accelerator.lanes
    return count * multiplier_dsps(ACCUMULATOR_BITS + 1, MULTIPLIER_BITS + 1, dsp_type)


def engine_resources(accelerator: Accelerator, dsp_type: DspType) -> dict[str, Resources]:
    """Resources that do not depend on the model: unit name → counts."""
    table = coefficients()
    rows, cols, lanes = accelerator.rows, accelerator.cols, accelerator.lanes
    packing = dsp_packing(dsp_type, accelerator.weight_bits, accelerator.dsp_packing)
    segments = ceil_div(cols, packing.longest_chain)
    sum_bits = largest_product(accelerator.weight_bits).bit_length() + 1 + (cols - 1).bit_length()

    # Behind the multipliers: split packed results, add up the cascades of one block.
    pairs = rows * ceil_div(lanes, 2)
    if packing.products == 4:
        splits = _logic(table.split_four, ceil_div(rows, 2) * ceil_div(lanes, 2) * cols)
    elif packing.products == 2:
        field_bits = min(packing.field_bits, sum_bits)
        splits = _logic(table.split_two, pairs * segments * 2 * field_bits)
    else:
        splits = Resources()
    tree = _logic(table.tree_adder, rows * lanes * (segments - 1) * sum_bits)

    # Two sets of accumulators for T token groups each.
    groups = token_groups(accelerator, accelerator.max_tokens)
    words = rows * lanes * ACCUMULATOR_BITS
    if 2 * groups <= DEEPEST_DISTRIBUTED:
        store = Resources(lut=distributed_luts(words, 2 * groups, dsp_type))
    else:
        store = Resources(bram18=bram18(words, 2 * groups))

    interval = accelerator.requant_interval
    requantisers = rows // interval * lanes
    select = _select(requantisers * ACCUMULATOR_BITS, interval)

    return {
        "array": Resources(dsp=array_dsps(accelerator, dsp_type)),
        "product splitting and adder tree": splits + tree,
        "accumulators": _logic(table.accumulate, rows * lanes * ACCUMULATOR_BITS) + store,
        "requantisers": _logic(table.requantise, requantisers)
        + select
        + Resources(dsp=requantiser_dsps(accelerator, dsp_type)),
        "weight registers": _logic(table.weight, accelerator.block_bits),
        # The first DSP of a cascade gets its activations undelayed.
        "activation skew": _logic(table.skew, (cols - segments) * lanes * ACTIVATION_BITS),
        "control": _logic(table.control, 1),
        "weight streams": _weight_streams(accelerator),
    }


def buffer_resources(accelerator: Accelerator, matrices: Sequence[SparseMatrix]) -> dict[str, Resources]:
    """Activation and result buffers, ping and pong, for the largest of the matrices."""
    groups = token_groups(accelerator, accelerator.max_tokens)
    interval = accelerator.requant_interval
    in_words = max(ceil_div(s.matrix.in_features, accelerator.cols) for s in matrices) * groups
    out_words = max(s.block_rows for s in matrices) * groups * interval
    in_bits = accelerator.cols * accelerator.lanes * ACTIVATION_BITS
    out_bits = accelerator.rows // interval * accelerator.lanes * ACTIVATION_BITS
    storage = accelerator.activation_memory
    return {
        "activation buffers": _array(storage, in_bits, 2 * in_words),
        "result buffers": _array(storage, out_bits, 2 * out_words),
    }


@dataclass(frozen=True)
class Placed:
    """``count`` matrices alike, whose weights lie in the same memory."""

    sparse: SparseMatrix
    memory: WeightMemory
    count: int


def weight_resources(accelerator: Accelerator, placed: Sequence[Placed]) -> dict[str, Resources]:
    """Weight, index and channel-constant memories of all matrices that the engine runs.

    Matrices in external memory keep only their index and constants on chip, two at a time (the present
    matrix's and the next one's).
    """
    words = dict.fromkeys(WeightMemory, 0)
    entries = channel_rows = streamed_entries = streamed_rows = 0
    for p in placed:
        if p.memory is WeightMemory.DDR:
            streamed_entries = max(streamed_entries, p.sparse.index_entries if p.count else 0)
            streamed_rows = max(streamed_rows, p.sparse.block_rows if p.count else 0)
        else:
            words[p.memory] += p.count * p.sparse.nonzero_blocks
            entries += p.count * p.sparse.index_entries
            channel_rows += p.count * p.sparse.block_rows

    interval = accelerator.requant_interval
    columns = max(ceil_div(p.sparse.matrix.in_features, accelerator.cols) for p in placed)
    channel_bits = accelerator.rows // interval * CHANNEL_BITS
    port, per_block = accelerator.weight_port_bits, block_words(accelerator)
    return {
        "weight ROM": _array(Storage.BRAM, port, words[WeightMemory.BRAM] * per_block),
        "weight URAM": _array(Storage.URAM, port, words[WeightMemory.URAM] * per_block),
        "index and channel constants": _array(Storage.BRAM, index_bits(columns), entries + 2 * streamed_entries)
        + _array(Storage.BRAM, channel_bits, interval * (channel_rows + 2 * streamed_rows)),
    }


def total(parts: Mapping[str, Resources]) -> Resources:
    """The sum over all units."""
    return Resources(**{name: sum([getattr(part, name) for part in parts.values()]) for name in RESOURCES})


def _logic(coefficient: Coefficient, count: int) -> Resources:
    return Resources(lut=ceil(coefficient.lut * count), ff=ceil(coefficient.ff * count))


def _select(bits: int, inputs: int) -> Resources:
    """Multiplexers of ``bits`` bits from ``inputs`` words each: max(1, ⌈inputs / 2⌉ − 1) LUTs per bit."""
    if inputs < 2 or bits == 0:
        return Resources()
    return _logic(coefficients().select, bits * max(1, ceil_div(inputs, 2) - 1))


def _array(storage: Storage, width: int, depth: int) -> Resources:
    if depth == 0:
        return Resources()
    if storage is Storage.URAM:
        return Resources(uram=uram(width, depth))
    joined = _select(width, depth_tiles(storage, width, depth))
    return Resources(bram18=bram18(width, depth)) + Resources(lut=joined.lut)


def _weight_streams(accelerator: Accelerator) -> Resources:
    """AXI read masters with their burst buffers."""
    port = Resources(bram18=bram18(accelerator.axi_port_bits, _BURST_WORDS)) + _logic(coefficients().axi_read_port, 1)
    return sum([port] * accelerator.axi_ports, Resources())
