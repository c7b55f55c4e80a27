"""What a design takes of the device, module by module.

DSPs follow from the array and the packing, memories from their true width and depth on the device's primitives
(``arrays.py``), LUTs and flip-flops from what the modules consist of (``logic.py``) times the coefficients of
``coefficients.yaml``, which are fitted on synthesised engines (``python -m codesign.synthesis --fit``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path

from codesign.boards import Board, DspType
from codesign.files import read_yaml
from codesign.hardware import arrays
from codesign.hardware.accelerator import Accelerator, SparseMatrix, WeightMemory
from codesign.hardware.arrays import EncoderSizes
from codesign.hardware.dsp import WIDE_PORT_BITS, dsp_packing
from codesign.hardware.images import block_words
from codesign.hardware.logic import WHAT, Counts, choices, encoder_logic, engine_logic, stream_logic, weight_logic
from codesign.hardware.memories import DEEPEST_DISTRIBUTED, Storage, ceil_div, distributed_luts
from codesign.numerics import ACCUMULATOR_BITS, MULTIPLIER_BITS

RESOURCES = ("lut", "ff", "bram18", "uram", "dsp")


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
    """LUTs and flip-flops of one of what ``codesign.hardware.logic.WHAT`` says."""

    lut: float
    ff: float


COEFFICIENTS_FILE = Path(__file__).with_name("coefficients.yaml")


@cache
def coefficients() -> dict[str, Coefficient]:
    """The table that comes with the package: ``module.what`` → LUTs and flip-flops."""
    table = read_yaml(COEFFICIENTS_FILE, dict[str, Coefficient])
    if set(table) != set(WHAT):
        raise ValueError(f"{COEFFICIENTS_FILE}: other rows than codesign.hardware.logic has")
    return table


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
    packing = dsp_packing(dsp_type, accelerator.held_bits, accelerator.dsp_packing)
    rows = ceil_div(accelerator.rows, packing.weights)
    lanes = ceil_div(accelerator.lanes, packing.activations)
    return rows * accelerator.cols * lanes


def requantiser_dsps(accelerator: Accelerator, dsp_type: DspType) -> int:
    """DSPs of the requantisers: (accumulator + bias) × multiplier, R/Q · L of them."""
    count = accelerator.rows // accelerator.requant_interval * accelerator.lanes
    return count * multiplier_dsps(ACCUMULATOR_BITS + 1, MULTIPLIER_BITS + 1, dsp_type)


def vector_dsps(accelerator: Accelerator, dsp_type: DspType) -> dict[str, int]:
    """DSPs of what stands around the array in an encoder, by module.

    Of each residual sum its square and, unless these are in LUTs, the products by two gains; two products of each
    result of LayerNorm (deviation, gain); for one token at a time its mean and its spread.
    """
    drained = accelerator.rows // accelerator.requant_interval * accelerator.lanes
    return {
        "residual_sums": drained * (1 if accelerator.lut_sums else 3),
        "normaliser": 2 * accelerator.vector_width,
        "vector_unit": multiplier_dsps(33, 17, dsp_type) + multiplier_dsps(33, 18, dsp_type),
    }


def engine_dsps(accelerator: Accelerator, dsp_type: DspType) -> int:
    """All DSPs of a design."""
    vector = sum(vector_dsps(accelerator, dsp_type).values()) if accelerator.vector_width else 0
    return array_dsps(accelerator, dsp_type) + requantiser_dsps(accelerator, dsp_type) + vector


def engine_resources(
    accelerator: Accelerator, dsp_type: DspType, tables: int, encoder: EncoderSizes | None = None
) -> dict[str, Resources]:
    """Resources that do not depend on the matrices' sizes: module of ``hls_templates/rtl`` → counts.

    Args:
        accelerator: The design.
        dsp_type: Of the device.
        tables: Matrices with an activation by table behind them.
        encoder: What a whole encoder has beside these.
    """
    return merged(
        priced_logic(engine_logic(accelerator, dsp_type, tables, encoder)),
        priced_memories(arrays.engine_memories(accelerator, tables), dsp_type),
        {
            "pe_row": Resources(dsp=array_dsps(accelerator, dsp_type)),
            "requantiser": Resources(dsp=requantiser_dsps(accelerator, dsp_type)),
        },
    )


def buffer_resources(
    accelerator: Accelerator, dsp_type: DspType, matrices: Sequence[SparseMatrix]
) -> dict[str, Resources]:
    """Streams, and activation and result buffers, ping and pong, for the largest of the matrices."""
    columns = max(s.columns for s in matrices)
    block_rows = max(s.block_rows for s in matrices)
    return merged(
        priced_logic(stream_logic(accelerator)),
        priced_memories(arrays.buffer_memories(accelerator, columns, block_rows), dsp_type),
    )


def fixed_resources(
    accelerator: Accelerator,
    dsp_type: DspType,
    matrices: Sequence[SparseMatrix],
    tables: int,
    encoder: EncoderSizes | None = None,
) -> dict[str, Resources]:
    """All but the memories of weights, index and constants: module of ``hls_templates/rtl`` → counts.

    Args:
        accelerator: The design.
        dsp_type: Of the device.
        matrices: That it runs.
        tables: Matrices with an activation by table behind them.
        encoder: What an encoder has beside these; None for matrices alone, with buffers in its place.
    """
    if encoder is not None:
        memories = priced_memories(arrays.encoder_memories(accelerator, encoder), dsp_type)
        return merged(resources_but_memories(accelerator, dsp_type, tables, encoder), memories)
    engine = engine_resources(accelerator, dsp_type, tables)
    return merged(engine, buffer_resources(accelerator, dsp_type, matrices))


def resources_but_memories(
    accelerator: Accelerator, dsp_type: DspType, tables: int, encoder: EncoderSizes
) -> dict[str, Resources]:
    """Of ``fixed_resources`` of an encoder what does not depend on what its memories are made of."""
    return merged(
        engine_resources(accelerator, dsp_type, tables, encoder),
        priced_logic(encoder_logic(accelerator, encoder)),
        {module: Resources(dsp=count) for module, count in vector_dsps(accelerator, dsp_type).items()},
    )


@dataclass(frozen=True)
class Placed:
    """``count`` matrices alike, whose weights lie in the same memory."""

    sparse: SparseMatrix
    memory: WeightMemory
    count: int


def weight_contents(
    accelerator: Accelerator, placed: Sequence[Placed], encoder: EncoderSizes | None = None
) -> arrays.Contents:
    """What the memories hold of placed matrices, and of the heads of an encoder."""
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
    per_block, interval = block_words(accelerator), accelerator.requant_interval
    return arrays.Contents(
        matrices=sum(p.count for p in placed),
        columns=max(p.sparse.columns for p in placed),
        bram_words=words[WeightMemory.BRAM] * per_block,
        uram_words=words[WeightMemory.URAM] * per_block,
        index_entries=entries,
        channel_words=channel_rows * interval + (encoder.head_channels if encoder else 0),
        streamed_entries=streamed_entries,
        streamed_channel_words=streamed_rows * interval,
        place_bits=encoder.place_bits if encoder else 0,
    )


def weight_resources(
    accelerator: Accelerator, dsp_type: DspType, placed: Sequence[Placed], encoder: EncoderSizes | None = None
) -> dict[str, Resources]:
    """Weight, index and channel-constant memories of all matrices that the engine runs, with what reads them.

    Matrices in external memory keep only their index and constants on chip, three at a time.
    """
    contents = weight_contents(accelerator, placed, encoder)
    return merged(
        priced_logic(weight_logic(accelerator, contents, encoder)),
        priced_memories(arrays.weight_memories(accelerator, contents), dsp_type),
    )


def total(parts: Mapping[str, Resources]) -> Resources:
    """The sum over all modules."""
    return Resources(**{name: sum([getattr(part, name) for part in parts.values()]) for name in RESOURCES})


def merged(*several: Mapping[str, Resources]) -> dict[str, Resources]:
    """Modules of several tables, those of the same name added up."""
    found: dict[str, Resources] = {}
    for parts in several:
        for name, part in parts.items():
            found[name] = found.get(name, Resources()) + part
    return found


def priced_logic(counts: Counts) -> dict[str, Resources]:
    """LUTs and flip-flops of what modules consist of, rounded up."""
    table = coefficients()
    return {
        module: Resources(
            lut=ceil(sum(table[f"{module}.{what}"].lut * count for what, count in items.items()) - 1e-9),
            ff=ceil(sum(table[f"{module}.{what}"].ff * count for what, count in items.items()) - 1e-9),
        )
        for module, items in counts.items()
    }


def priced_memories(memories: arrays.Memories, dsp_type: DspType) -> dict[str, Resources]:
    """What modules' memories take: tiles, distributed RAM, and what joins and registers their words."""
    return {
        module: sum([_memory(array, dsp_type) for array in found], Resources()) for module, found in memories.items()
    }


def _memory(array: arrays.Array, dsp_type: DspType) -> Resources:
    if not array.depth or not array.width or not array.copies:
        return Resources()
    if array.direct:
        chosen = array.width * choices(ceil_div(array.depth, DEEPEST_DISTRIBUTED))
        return Resources(lut=array.copies * (distributed_luts(array.width, array.depth, dsp_type) + chosen))
    if array.distributed:
        # Block RAM and URAM have the first of these registers in them.
        bits = array.width * array.copies * (2 if array.registered else 1)
        return Resources(lut=array.copies * distributed_luts(array.width, array.depth, dsp_type), ff=bits)
    width, depth = array.tile
    across, behind = ceil_div(array.width, width), ceil_div(array.depth, depth)
    joined = array.width * choices(behind) * array.copies
    # A read-only tile of a single word is no memory but constants.
    tiles = across * (behind - (array.rom and array.depth % depth == 1)) * array.copies
    registers = array.width * array.copies if array.registered else 0
    if array.storage is Storage.URAM:
        return Resources(lut=joined, ff=registers, uram=tiles)
    return Resources(lut=joined, ff=registers, bram18=tiles)
