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
from codesign.hardware.arrays import EncoderSizes
from codesign.hardware.resources import Placed, Resources, total, weight_resources


def place(
    accelerator: Accelerator,
    dsp_type: DspType,
    alike: Sequence[tuple[SparseMatrix, int]],
    rest: Resources,
    limit: Resources,
    encoder: EncoderSizes | None = None,
) -> list[Placed]:
    """Choose weight memories.

    Args:
        accelerator: The design.
        dsp_type: Of the device.
        alike: Matrices that the engine runs, each with the number of those alike.
        rest: What the design takes apart from the weight, index and constant memories.
        limit: What the design may take of the board.
        encoder: What an encoder has beside its matrices; None for matrices alone.

    Returns:
        All of them, placed; those alike may be split between memories. A design without an AXI port has all in
        block RAM, whether they fit or not.
    """
    ordered = sorted(alike, key=lambda pair: pair[0].nonzero_blocks)
    last_resort = WeightMemory.DDR if accelerator.axi_ports else WeightMemory.BRAM

    def placed(on_chip: Counter[tuple[int, WeightMemory]], *, rest_too: bool) -> list[Placed]:
        resident = [Placed(ordered[i][0], memory, n) for (i, memory), n in on_chip.items() if n]
        left = [(s, n - sum(on_chip[i, memory] for memory in WeightMemory)) for i, (s, n) in enumerate(ordered)]
        return resident + [Placed(s, last_resort, n) for s, n in left if n and rest_too]

    def filled(memories: Sequence[WeightMemory], *, rest_too: bool) -> Counter[tuple[int, WeightMemory]]:
        """As many as fit into these memories, in turn; with room for what streams the rest, or without."""
        on_chip: Counter[tuple[int, WeightMemory]] = Counter()

        def moves(index: int, memory: WeightMemory, count: int) -> bool:
            """Move ``count`` of those alike on chip if the design still fits then."""
            on_chip[index, memory] += count
            now = placed(on_chip, rest_too=rest_too)
            if (rest + total(weight_resources(accelerator, dsp_type, now, encoder))).fits(limit):
                return True
            on_chip[index, memory] -= count
            return False

        index = 0
        for memory in memories:
            while index < len(ordered):
                # All that are left, else as many as fit, by halves.
                left = step = ordered[index][1] - sum(on_chip[index, m] for m in WeightMemory)
                while step and left:
                    if moves(index, memory, min(step, left)):
                        left -= min(step, left)
                    else:
                        step //= 2
                if left:
                    break
                index += 1
        return on_chip

    everything = sum(count for _, count in ordered)
    both = [WeightMemory.URAM, WeightMemory.BRAM] if limit.uram else [WeightMemory.BRAM]
    # What streams weights takes memory too: it is left out of account as long as all may fit without it.
    for memories in ([WeightMemory.BRAM], both):
        on_chip = filled(memories, rest_too=False)
        if on_chip.total() == everything:
            return placed(on_chip, rest_too=False)
    return placed(filled(both, rest_too=True), rest_too=True)
