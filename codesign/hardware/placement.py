"""Where each matrix's weights live: as many matrices on chip as fit, the rest in external memory.

If all weights fit in block RAM, that is where they go: its contents are in the bitstream. Otherwise URAM (on
UltraScale+ loaded once at start-up) fills first, because index and constants of every matrix on chip need block
RAM as well; block RAM next; external memory takes what is left and is read at every use. Smaller images go first,
so that when one does not fit, none of the rest would: less weight, or more memory, never moves a matrix off the
chip.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from codesign.boards import DspType
from codesign.hardware.accelerator import Accelerator, SparseMatrix, WeightMemory
from codesign.hardware.resources import Placed, Resources, total, weight_resources


def place(
    accelerator: Accelerator,
    dsp_type: DspType,
    alike: Sequence[tuple[SparseMatrix, int]],
    rest: Resources,
    limit: Resources,
) -> list[Placed]:
    """Choose weight memories.

    Args:
        accelerator: The design.
        dsp_type: Of the device.
        alike: Matrices that the engine runs, each with the number of those alike.
        rest: What the design takes apart from the weight, index and constant memories.
        limit: What the design may take of the board.

    Returns:
        All of them, placed; those alike may be split between memories. A design without an AXI port has all in
        block RAM, whether they fit or not.
    """
    ordered = sorted(alike, key=lambda pair: pair[0].nonzero_blocks)
    left = [count for _, count in ordered]
    on_chip: Counter[tuple[int, WeightMemory]] = Counter()

    last_resort = WeightMemory.DDR if accelerator.axi_ports else WeightMemory.BRAM

    def placed() -> list[Placed]:
        resident = [Placed(ordered[i][0], memory, n) for (i, memory), n in on_chip.items() if n]
        streamed = [Placed(s, last_resort, n) for (s, _), n in zip(ordered, left, strict=True) if n]
        return resident + streamed

    def moves(index: int, memory: WeightMemory, count: int) -> bool:
        """Move ``count`` of those alike on chip if the design still fits then."""
        left[index] -= count
        on_chip[index, memory] += count
        if (rest + total(weight_resources(accelerator, dsp_type, placed()))).fits(limit):
            return True
        left[index] += count
        on_chip[index, memory] -= count
        return False

    if all(moves(i, WeightMemory.BRAM, count) for i, (_, count) in enumerate(ordered)):
        return placed()
    left = [count for _, count in ordered]
    on_chip.clear()

    index = 0
    for memory in (WeightMemory.URAM, WeightMemory.BRAM):
        if memory is WeightMemory.URAM and limit.uram == 0:
            continue
        while index < len(ordered):
            # All that are left, else as many as fit, by halves.
            step = left[index]
            while step and left[index]:
                if not moves(index, memory, min(step, left[index])):
                    step //= 2
            if left[index]:
                break
            index += 1
    return placed()
