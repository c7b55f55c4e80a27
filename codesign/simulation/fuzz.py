"""Random designs, one after another, each by its number: bits, cycles, and no hang.

Of matrices, ``make -C sim fuzz``, or of whole encoders with sentences, ``make -C sim fuzz-sentences``.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codesign.codegen.registers import bit
from codesign.errors import InputError
from codesign.report.console import tracked
from codesign.simulation.engine import EngineResult, EngineRun, Pauses, lint, simulate
from codesign.simulation.random_designs import draw
from codesign.simulation.random_encoders import draw as draw_sentences
from codesign.simulation.sentences import SentenceOutcome, SentenceRun, prepare_sentences, simulate_sentences


def differences(run: EngineRun, found: EngineResult, expected: Sequence[NDArray[np.int64]]) -> list[str]:
    """What is not as it must be, in words; nothing if all is.

    With pauses: the same results, no fewer cycles than predicted, and the array's last cycle no later than predicted
    plus the cycles that it counted as waiting.
    """
    told = [
        f"matrix {number}: {int((got != wanted).sum())} of {wanted.size} results differ"
        for number, (got, wanted) in enumerate(zip(found.results, expected, strict=True))
        if not np.array_equal(got, wanted)
    ]
    predicted = run.predicted()
    if found.status != bit("STATUS", "DONE"):
        told.append(f"status {found.status:#x}")
    if found.cycles != found.clock:
        told.append(f"{found.cycles} cycles by the counter, {found.clock} by the clock")
    if run.pauses == Pauses():
        if found.times != predicted or found.cycles != predicted[-1].sent:
            told.append(f"predicted {predicted}, found {found.times} and {found.cycles}")
    elif found.cycles < predicted[-1].sent:
        told.append(f"{found.cycles} cycles with pauses, {predicted[-1].sent} predicted without")
    elif found.times[-1].summed > predicted[-1].summed + sum(found.stalls):
        told.append(
            f"{found.times[-1].summed} cycles to the last sum, {predicted[-1].summed} + {found.stalls} expected"
        )
    return told


def sentence_differences(run: SentenceRun, found: SentenceOutcome) -> list[str]:
    """What is not as it must be with sentences, in words; nothing if all is.

    With pauses: the same results, and no fewer cycles than predicted.
    """
    told = [f"{step.name}: {step.mismatches} of {step.outputs} differ" for step in found.steps if step.mismatches]
    told += [f"sentence {n}: {wrong} results differ" for n, wrong in enumerate(found.mismatches) if wrong]
    wanted = bit("STATUS", "DONE") | (bit("STATUS", "ERROR_FRAMING") if run.misplaced else 0)
    if found.status != wanted:
        told.append(f"status {found.status:#x}, {wanted:#x} expected")
    if found.counted_cycles != found.clock_cycles:
        told.append(f"{found.counted_cycles} cycles by the counter, {found.clock_cycles} by the clock")
    if run.pauses == Pauses():
        told += [
            f"{step.name}: predicted {step.predicted}, counted {step.counted}"
            for step in found.steps
            if step.predicted != step.counted
        ]
        if found.predicted_cycles != found.counted_cycles:
            told.append(f"predicted {found.predicted_cycles}, counted {found.counted_cycles}")
    elif found.counted_cycles < found.predicted_cycles:
        told.append(f"{found.counted_cycles} cycles with pauses, {found.predicted_cycles} predicted without")
    return told


def main() -> int:
    """Run the designs; exit code 1 if any is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="designs")
    parser.add_argument("--seed", type=int, default=0, help="number of the first; a design is drawn from its number")
    parser.add_argument("--work-dir", type=Path, default=Path("build/sim/fuzz"))
    parser.add_argument("--lint", action="store_true", help="only Verilator -Wall")
    parser.add_argument("--sentences", action="store_true", help="whole encoders instead of matrices")
    given = parser.parse_args()
    numbers = range(given.seed, given.seed + given.count)
    print(f"designs {numbers[0]} to {numbers[-1]}; one again: --seed NUMBER --count 1")
    began, wrong = time.time(), []
    for number in tracked("designs")(iter(numbers), len(numbers)):
        what, told = _sentences(number, given.work_dir) if given.sentences else _matrices(number, given)
        if told:
            wrong.append(number)
            print(f"design {number}: {'; '.join(told[:5])}\n  {what}", flush=True)
    print(f"{len(numbers) - len(wrong)} of {len(numbers)} as they must be, {time.time() - began:.0f} s")
    return 1 if wrong else 0


def _matrices(number: int, given: argparse.Namespace) -> tuple[str, list[str]]:
    """What a design is, and what is wrong with it."""
    run, expected = draw(number)
    try:
        if given.lint:
            told = lint(run, given.work_dir)
        else:
            told = differences(run, simulate(run, given.work_dir, fast_build=True), expected)
    except (InputError, subprocess.SubprocessError) as error:
        told = [str(error)]
    return f"{run.accelerator}, {run.tokens} tokens, {run.pauses}", told


def _sentences(number: int, work: Path) -> tuple[str, list[str]]:
    run = draw_sentences(number)
    layout = run.encoder.layout
    try:
        found = simulate_sentences(run, prepare_sentences(run, work, fast_build=True, room=len(run.sentences)))
        told = sentence_differences(run, found)
    except (InputError, subprocess.SubprocessError) as error:
        told = [str(error)]
    return (
        f"{layout.accelerator}, {layout.hidden} features, {layout.heads} heads, {layout.ffn} of the feed-forward,"
        f" {len(run.sentences)} × {run.tokens} tokens, {run.memory}, {run.pauses}",
        told,
    )


if __name__ == "__main__":
    sys.exit(main())
