"""Random designs in C simulation of the HLS kernel, each by its number: ``make -C sim fuzz-hls``.

Designs are drawn ten by ten: those have one array, so that one compiled kernel serves them all.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from codesign.boards import DspType, load_board
from codesign.codegen.hls import HlsDesign, Interface
from codesign.errors import InputError
from codesign.report.console import tracked
from codesign.simulation.hls import KernelMatrix, design_of_runs, simulate_kernel
from codesign.simulation.random_designs import draw_sharing

SHARING = 10
"""Designs with one array."""
BOARDS = {DspType.DSP48E1: "pynq-z2", DspType.DSP48E2: "zcu104"}
"""A board with such DSPs."""


def drawn(group: int, designs: int = SHARING) -> tuple[HlsDesign, Interface]:
    """The random designs of a group in one project, a run each, and the kernel's interface."""
    runs = draw_sharing(group, designs)
    board = load_board(BOARDS[runs[0][0].dsp_type])
    return design_of_runs(board, runs, f"random designs {group}"), list(Interface)[group % 2]


def differences(matrices: Sequence[KernelMatrix]) -> list[str]:
    """What is not as it must be, in words; nothing if all is."""
    return [
        f"matrix {m.matrix}: {m.mismatches} of {m.outputs} results differ, {m.trips} trips,"
        f" {m.predicted_trips} predicted"
        for m in matrices
        if not m.right
    ]


def main() -> int:
    """Run the designs; exit code 1 if any is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="designs")
    parser.add_argument("--seed", type=int, default=0, help="number of the first; a design is drawn from its number")
    parser.add_argument("--work-dir", type=Path, default=Path("build/sim/fuzz-hls"))
    parser.add_argument(
        "--sanitize", action="store_true", help="under the address and undefined-behaviour sanitizers"
    )
    given = parser.parse_args()
    numbers = range(given.seed, given.seed + given.count)
    groups = range(numbers[0] // SHARING, numbers[-1] // SHARING + 1)
    flags = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"] if given.sanitize else ["-O1"]
    print(f"designs {numbers[0]} to {numbers[-1]}; one again: --seed NUMBER --count 1")
    began, wrong, right = time.time(), [], 0
    for group in tracked("arrays")(iter(groups), len(groups)):
        design, interface = drawn(group)
        failed = ""
        try:
            matrices = simulate_kernel(design, given.work_dir, interface=interface, flags=flags).matrices
        except InputError as error:
            failed, matrices = str(error), ()
        for run in range(SHARING):
            number = group * SHARING + run
            if number not in numbers:
                continue
            told = [failed] if failed else differences([m for m in matrices if m.run == run])
            right += not told
            if told:
                wrong.append(number)
                print(f"design {number}: {'; '.join(told)}\n  {design.accelerator}, {interface}", flush=True)
    print(f"{right} of {len(numbers)} as they must be, {time.time() - began:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
