"""The cycle contract: exact cycles of one matrix on the engine, with no fitted constant.

With T = ⌈M / L⌉ token groups, F cycles to fetch a block and Q cycles to requantise a token group, a block row
with n nonzero blocks holds the array for

    max(n · max(T, F), T · Q)

cycles: its blocks stay T cycles each (F, if the next block takes longer to arrive), and it cannot end before
the block row ahead of it is requantised, since there are two sets of accumulators. Q = 1 gives the form of a
fully parallel requantiser, max(n · max(T, F), T). After the last block row the engine still requantises it
(T · Q); the rest is the pipeline's constant number of stages. Counted from the cycle in which the matrix's
activations are there and the array is free to the one in which its last result is written; its first block has been
fetched while the activations arrived. ``codesign.hardware.timeline`` has whole runs, with the streams.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from math import ceil

from codesign.boards import DspType
from codesign.hardware.accelerator import Accelerator, SparseMatrix, WeightMemory
from codesign.hardware.dsp import dsp_packing
from codesign.hardware.images import beat_bits, block_beats, block_words, image_bits
from codesign.hardware.memories import ceil_div

# Register stages, as the sources in hls_templates/rtl have them.
_ARRAY_STAGES = {"activation read": 2, "multiply": 3, "split fields": 1}
_REQUANTISE_STAGES = {
    "accumulator read": 1,
    "choice of rows": 1,
    "bias": 1,
    "multiply": 4,
    "shift and round": 1,
    "saturate": 1,
}
_TABLE_STAGES = 2


def token_groups(accelerator: Accelerator, tokens: int) -> int:
    """T = ⌈M / L⌉."""
    return ceil_div(tokens, accelerator.lanes)


def external_bytes_per_cycle(accelerator: Accelerator, bytes_per_second: float) -> Fraction:
    """What external memory delivers per cycle: the slower of its rate and the ports' width.

    A ratio of small whole numbers (its denominator is at most 65536), so that simulated memory can keep it exactly.
    """
    return _bytes_per_cycle(
        accelerator.axi_ports * accelerator.axi_port_bits, accelerator.clock_mhz, bytes_per_second
    )


@cache  # exact fractions are slow to make, and a search asks for the same few again and again
def _bytes_per_cycle(port_bits: int, clock_mhz: float, bytes_per_second: float) -> Fraction:
    rate = Fraction(bytes_per_second) / (Fraction(clock_mhz) * 10**6)
    return min(Fraction(port_bits, 8), rate.limit_denominator(1 << 16))


def fetch_cycles(accelerator: Accelerator, memory: WeightMemory, bytes_per_second: float) -> int:
    """F: cycles to bring one block's weights to the array.

    Args:
        accelerator: The design.
        memory: Where the weights lie.
        bytes_per_second: What long reads of external memory can count on.
    """
    if memory is not WeightMemory.DDR:
        return ceil_div(accelerator.block_bits, accelerator.weight_port_bits)
    bits = 8 * external_bytes_per_cycle(accelerator, bytes_per_second)
    if not bits:
        raise ValueError("weights in external memory need at least one port")
    return ceil(block_beats(accelerator) * beat_bits(accelerator) / bits)


def block_row_cycles(accelerator: Accelerator, blocks: int, groups: int, fetch: int) -> int:
    """Cycles that a block row with ``blocks`` nonzero blocks holds the array (T groups, F fetch cycles)."""
    return max(blocks * max(groups, fetch), groups * accelerator.requant_interval)


def block_cycles(accelerator: Accelerator, tokens: int, memory: WeightMemory, bytes_per_second: float) -> int:
    """Cycles that one nonzero block costs: max(T, F) of every pass that ``tokens`` tokens take.

    In a block row of fewer than Q blocks it costs less; where a matrix waits for external memory, a little more (its
    index word).
    """
    fetch = fetch_cycles(accelerator, memory, bytes_per_second)
    full, rest = divmod(tokens, accelerator.max_tokens)
    total = full * max(token_groups(accelerator, accelerator.max_tokens), fetch)
    return total + (max(token_groups(accelerator, rest), fetch) if rest else 0)


def array_stages(accelerator: Accelerator, dsp_type: DspType) -> int:
    """Cycles from a token group's entry into the array to its sums."""
    packing = dsp_packing(dsp_type, accelerator.held_bits, accelerator.dsp_packing)
    chain, segments = packing.cascades(accelerator.cols)
    # Each DSP of a cascade adds one stage, each level of the adder tree behind the cascades another.
    return sum(_ARRAY_STAGES.values()) + (chain - 1) + (segments - 1).bit_length()


def requantise_stages(tables: bool = True) -> int:
    """Cycles from reading an accumulator to its result; an activation by table anywhere in the design adds some."""
    return sum(_REQUANTISE_STAGES.values()) + (_TABLE_STAGES if tables else 0)


def pipeline_stages(accelerator: Accelerator, dsp_type: DspType, *, tables: bool = True) -> int:
    """Cycles that a matrix takes beyond those of its blocks and its requantisation: a constant of the design."""
    return array_stages(accelerator, dsp_type) + requantise_stages(tables)


def kernel_trips(accelerator: Accelerator, row_blocks: Iterable[int], tokens: int) -> int:
    """Trips of the HLS kernel's pipelined loop for one matrix, a cycle each at an initiation interval of one.

    F + Σ max(n · max(T, F), T · Q) + T · Q, F = words of a block: the cycles of ``matrix_cycles`` for a matrix that
    nothing keeps waiting, without the pipeline's stages. The kernel begins with the fetch of the first block, if
    there is any; memory that is slower than a word per trip stalls trips, but adds none.

    Args:
        accelerator: The design.
        row_blocks: Nonzero blocks of each block row.
        tokens: As many as the buffers hold or fewer.
    """
    groups, fetch = token_groups(accelerator, tokens), block_words(accelerator)
    rows = list(row_blocks)
    summing = sum(block_row_cycles(accelerator, blocks, groups, fetch) for blocks in rows)
    return (fetch if any(rows) else 0) + summing + groups * accelerator.requant_interval


@dataclass(frozen=True)
class Pass:
    """One pass of tokens through one matrix.

    Attributes:
        groups: T.
        fetch: F.
        summing: Cycles that the block rows hold the array, one after another.
        weight_bytes: What crosses external memory.
        crossing: Cycles that these bytes take at the memory's rate.
    """

    groups: int
    fetch: int
    summing: int
    weight_bytes: int
    crossing: int

    @property
    def busy(self) -> int:
        """Cycles between the first block's arrival and the last block row's end."""
        return max(self.summing, self.crossing)


def one_pass(
    accelerator: Accelerator,
    sparse: SparseMatrix,
    tokens: int,
    memory: WeightMemory,
    bytes_per_second: float,
) -> Pass:
    """What a pass of ``tokens`` tokens, as many as the buffers hold or fewer, is made of.

    Args:
        accelerator: The design.
        sparse: The matrix.
        tokens: Tokens of this pass.
        memory: Where the weights lie.
        bytes_per_second: What long reads of external memory can count on.
    """
    groups = token_groups(accelerator, tokens)
    fetch = fetch_cycles(accelerator, memory, bytes_per_second)
    summing = sum(count * block_row_cycles(accelerator, blocks, groups, fetch) for blocks, count in sparse.rows)
    weight_bytes = external_weight_bytes(accelerator, sparse) if memory is WeightMemory.DDR else 0
    crossing = ceil(weight_bytes / external_bytes_per_cycle(accelerator, bytes_per_second)) if weight_bytes else 0
    return Pass(groups, fetch, summing, weight_bytes, crossing)


def matrix_cycles(
    accelerator: Accelerator,
    dsp_type: DspType,
    sparse: SparseMatrix,
    tokens: int,
    memory: WeightMemory,
    bytes_per_second: float,
    *,
    tables: bool = True,
) -> int:
    """Cycles for one matrix and ``tokens`` tokens, from its activations' presence to its last result.

    More tokens than the buffers hold take several passes. Where external memory delivers the weights, a pass lasts at
    least as long as the bytes that cross.
    """
    stages = pipeline_stages(accelerator, dsp_type, tables=tables)
    full, rest = divmod(tokens, accelerator.max_tokens)
    total = 0
    for passes, present in ((full, accelerator.max_tokens), (1, rest)):
        if passes and present:
            work = one_pass(
                accelerator,
                sparse,
                present,
                memory,
                bytes_per_second,
            )
            last_row = work.groups * accelerator.requant_interval
            # On chip the first block is fetched while the activations arrive.
            first = work.fetch if memory is WeightMemory.DDR else 0
            total += passes * (first + work.busy + last_row + stages)
    return total


def utilisation(accelerator: Accelerator, nonzero_blocks: int, tokens: int, cycles: int) -> float:
    """Useful multiply-accumulates over those that the array could do in so many cycles, R·C·L in each."""
    return nonzero_blocks * tokens / (accelerator.lanes * cycles)


def external_weight_bytes(accelerator: Accelerator, sparse: SparseMatrix) -> int:
    """Bytes of one matrix's images in external memory: blocks, index words, channel constants."""
    return ceil_div(image_bits(accelerator, sparse).total, 8)
