"""Random designs, one after another, each by its number: bits, cycles, and no hang.

Of matrices, ``make -C sim fuzz``, or of whole encoders with sentences, ``make -C sim fuzz-sentences``. What has been
run is kept under the work folder, by what the sources are, so that the same command goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray

import codesign
from codesign.codegen.registers import bit
from codesign.errors import InputError
from codesign.files import write_text
from codesign.report.console import tracked
from codesign.shipped import data_folder
from codesign.simulation.engine import EngineResult, EngineRun, Pauses, lint, simulate
from codesign.simulation.random_designs import draw
from codesign.simulation.random_encoders import draw as draw_sentences
from codesign.simulation.sentences import SentenceOutcome, SentenceRun, prepare_sentences, simulate_sentences
from codesign.simulation.toolchain import verilator_version


@dataclass(frozen=True)
class Tried:
    """One design that was run.

    Attributes:
        number: It was drawn from this.
        what: In words.
        told: What is not as it must be.
        outputs: Results of steps and of last layers that were compared.
        cycles: Counted, from start to last beat.
        paused, external, int4: Whether streams pause; any weights lie in external memory; weights have 4 bits.
    """

    number: int
    what: str
    told: list[str]
    outputs: int = 0
    cycles: int = 0
    paused: bool = False
    external: bool = False
    int4: bool = False


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
        if found.stalls != (stalls := run.predicted_stalls()):
            told.append(f"predicted {stalls}, counted {found.stalls}")
    elif found.cycles < predicted[-1].sent:
        told.append(f"{found.cycles} cycles with pauses, {predicted[-1].sent} predicted without")
    elif found.times[-1].summed > predicted[-1].summed + sum(astuple(found.stalls)):
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
        if found.predicted_stalls != found.stalls:
            told.append(f"predicted {found.predicted_stalls}, counted {found.stalls}")
    elif found.counted_cycles < found.predicted_cycles:
        told.append(f"{found.counted_cycles} cycles with pauses, {found.predicted_cycles} predicted without")
    return told


def main() -> int:
    """Run the designs; exit code 1 if any is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="designs")
    parser.add_argument("--seed", type=int, default=0, help="number of the first; a design is drawn from its number")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="designs at a time")
    parser.add_argument("--work-dir", type=Path, default=Path("build/sim/fuzz"))
    parser.add_argument("--lint", action="store_true", help="only Verilator -Wall")
    parser.add_argument("--sentences", action="store_true", help="whole encoders instead of matrices")
    parser.add_argument("--result", type=Path, help="page to write, of whole encoders")
    given = parser.parse_args()
    if given.result and not given.sentences:
        parser.error("--result is a page of whole encoders: --sentences")
    numbers = range(given.seed, given.seed + given.count)
    print(f"designs {numbers[0]} to {numbers[-1]}; one again: --seed NUMBER --count 1")
    kind = "lint" if given.lint else "sentences" if given.sentences else "matrices"
    began, every = time.time(), []
    for tried in tracked("designs")(_tried(numbers, kind, given.jobs, given.work_dir.resolve()), len(numbers)):
        every.append(tried)
        if tried.told:
            print(f"design {tried.number}: {'; '.join(tried.told[:5])}\n  {tried.what}", flush=True)
    wrong = sum(bool(tried.told) for tried in every)
    print(f"{len(every) - wrong} of {len(every)} as they must be, {time.time() - began:.0f} s")
    if given.result:
        write_text(given.result, "\n".join(page(sorted(every, key=lambda tried: tried.number))) + "\n")
        print(f"wrote {given.result}")
    return 1 if wrong else 0


def page(every: Sequence[Tried]) -> Iterator[str]:
    """The lines of a page of random encoders."""
    wrong = [tried for tried in every if tried.told]
    yield "# Random encoders through simulated hardware"
    yield ""
    yield (
        f"Written by `make -C sim fuzz-sentences` on {datetime.date.today().isoformat()} (codesign"
        f" {codesign.__version__}, Python {platform.python_version()}, {verilator_version()}): array, packing, shape,"
        " heads, density, memories, latency and rate of external memory, tokens, sentences and pauses are drawn from"
        " a design's number. Every result of every step of the last sentence and of every sentence's last layer is"
        " compared with the integer model; without pauses, every step's begin and end with the hardware model."
    )
    yield ""
    yield "| | |"
    yield "|---|---|"
    yield f"| designs | {len(every):,}, numbers {every[0].number} to {every[-1].number} |"
    yield f"| with a difference | {len(wrong):,} |"
    yield f"| whose streams and memory pause | {sum(tried.paused for tried in every):,} |"
    yield f"| with weights in external memory | {sum(tried.external for tried in every):,} |"
    yield f"| with weights of 4 bits | {sum(tried.int4 for tried in every):,} |"
    yield f"| results compared | {sum(tried.outputs for tried in every):,} |"
    yield f"| cycles | {sum(tried.cycles for tried in every):,} |"
    for tried in wrong:
        yield ""
        yield f"Design {tried.number} ({tried.what}): {'; '.join(tried.told[:5])}"


def _tried(numbers: Sequence[int], kind: str, jobs: int, work: Path) -> Iterator[Tried]:
    """Every design, those first that an earlier command has run with the same sources."""
    folder = work / f"{kind}-{_sources()}"
    folder.mkdir(parents=True, exist_ok=True)
    left = []
    for number in numbers:
        kept = folder / f"{number}.json"
        if kept.is_file():
            yield Tried(**json.loads(kept.read_text(encoding="utf-8")))
        else:
            left.append(number)
    calls = (delayed(_one)(number, kind, work) for number in left)
    for tried in Parallel(n_jobs=jobs, return_as="generator_unordered")(calls):
        write_text(folder / f"{tried.number}.json", json.dumps(asdict(tried)))
        yield tried


def _sources() -> str:
    """What tells these sources from others: all of the package's, and all of the templates."""
    digest = hashlib.sha256()
    for folder in (Path(codesign.__file__).parent, data_folder("hls_templates")):
        for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def _one(number: int, kind: str, work: Path) -> Tried:
    """In a folder that this process has for itself, as two designs may share a build."""
    torch.set_num_threads(1)
    own = work / f"job-{os.getpid()}"
    return _sentences(number, own) if kind == "sentences" else _matrices(number, own, only_lint=kind == "lint")


def _matrices(number: int, work: Path, *, only_lint: bool) -> Tried:
    run, expected = draw(number)
    try:
        told = lint(run, work) if only_lint else differences(run, simulate(run, work, fast_build=True), expected)
    except (InputError, subprocess.SubprocessError) as error:
        told = [str(error)]
    what = f"{run.accelerator}, {run.tokens} tokens, {run.pauses}"
    return Tried(number, what, told)


def _sentences(number: int, work: Path) -> Tried:
    run = draw_sentences(number)
    layout, outputs, cycles = run.encoder.layout, 0, 0
    try:
        found = simulate_sentences(run, prepare_sentences(run, work, fast_build=True, room=len(run.sentences)))
        told = sentence_differences(run, found)
        outputs = found.outputs.size + sum(step.outputs for step in found.steps)
        cycles = found.counted_cycles
    except (InputError, subprocess.SubprocessError) as error:
        told = [str(error)]
    what = (
        f"{layout.accelerator}, {layout.hidden} features, {layout.heads} heads, {layout.ffn} of the feed-forward,"
        f" {len(run.sentences)} × {run.tokens} tokens, {run.memory}, {run.pauses}"
    )
    return Tried(
        number,
        what,
        told,
        outputs,
        cycles,
        paused=run.pauses != Pauses(),
        external="ddr" in run.images.contents,
        int4=layout.accelerator.weight_bits == 4,
    )


if __name__ == "__main__":
    sys.exit(main())
