"""Faults planted in the engine, one at a time, to see that the comparison catches them. ``make -C sim faults``.

A fault counts as caught when any of the designs below gives another bit, another cycle, a hang or an error flag, or
fails a test of the interfaces; one that does not compile is a mistake in this file.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from codesign.boards import DspType
from codesign.codegen.rtl import RTL
from codesign.errors import InputError
from codesign.hardware.accelerator import WeightMemory
from codesign.hardware.timeline import ExternalMemory
from codesign.program.layout import Layout
from codesign.shipped import data_folder
from codesign.simulation.engine import EngineRun, Pauses, simulate, simulate_interfaces
from codesign.simulation.fuzz import differences, sentence_differences
from codesign.simulation.planted import ENCODER_FAULTS, FAULTS, Fault
from codesign.simulation.random_designs import SMALL_ARRAY, RandomMatrix, random_run
from codesign.simulation.random_encoders import SMALL_ENCODER_ARRAY, random_encoder, sentence_run
from codesign.simulation.sentences import SentenceRun, prepare_sentences, simulate_sentences

_ARRAY = replace(SMALL_ARRAY, cols=10)
"""With cascades of more than one length."""


def designs() -> Iterator[tuple[EngineRun, list[object]]]:
    """Small designs that between them use every part of the engine."""
    ddr, uram = WeightMemory.DDR, WeightMemory.URAM
    shapes = [
        RandomMatrix(14, 24, 0.6),
        RandomMatrix(9, 30, 0.3, table=True, memory=uram),
        RandomMatrix(40, 7, 0.2, memory=ddr),
        RandomMatrix(12, 60, 0.9, table=True, memory=ddr),
        RandomMatrix(8, 6, 1.0),
    ]
    run, expected = random_run(_ARRAY, shapes, 10, 11, repeats=3)
    yield run, list(expected)
    yield replace(run, pauses=Pauses(100, 230, 60)), list(expected)
    single = replace(run, activations=[x[:, :1] for x in run.activations])
    yield single, [y[:, :1] for y in expected]
    four = replace(
        _ARRAY, weight_bits=4, dsp_packing=4, rows=5, cols=7, requant_interval=1, weight_port_bits=8, axi_ports=0
    )
    yield random_run(four, [RandomMatrix(13, 20, 0.6), RandomMatrix(9, 30, 0.3, table=True)], 7, 12)  # type: ignore[misc]
    one = replace(_ARRAY, dsp_packing=1, rows=3, cols=5, lanes=1, requant_interval=3)
    yield random_run(one, [RandomMatrix(13, 20, 0.6, memory=ddr)], 12, 13, dsp_type=DspType.DSP48E1)  # type: ignore[misc]
    # Weights wait for the array longer than they take to come, so that their queue fills up.
    slow = replace(_ARRAY, rows=16, cols=16, lanes=1, max_tokens=50)
    yield random_run(slow, [RandomMatrix(100, 300, 0.9, memory=ddr)], 50, 14)  # type: ignore[misc]
    # A block per cycle.
    quick = replace(_ARRAY, rows=2, cols=4, requant_interval=1)
    yield random_run(quick, [RandomMatrix(20, 40, 0.7), RandomMatrix(9, 40, 0.3)], 2, 15)  # type: ignore[misc]
    # So many blocks to a row that sums wrong by one each show in the results, which keep few of a sum's bits.
    narrow = replace(_ARRAY, cols=2, requant_interval=1)
    yield random_run(narrow, [RandomMatrix(120, 400, 0.9)], 12, 16)  # type: ignore[misc]


def sentences() -> Iterator[list[SentenceRun]]:
    """Small encoders, each with runs of one simulator, that between them use every part of what an encoder adds."""
    g = np.random.default_rng(21)

    def embeddings(hidden: int, tokens: int, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
        return g.integers(-127, 128, (count, hidden, tokens)).astype(np.int8)

    def extremes(hidden: int, tokens: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
        """Sentences as loud as they get, all but silent, silent, all the same, of one loud feature, of any kind."""
        any_kind = embeddings(hidden, tokens, 3)
        loud = np.where(any_kind[0] < 0, -127, 127)
        one = np.zeros_like(loud)
        one[hidden // 2] = loud[0]
        parts = [loud, any_kind[1] // 50, 0 * loud, 0 * loud + 100, one, -loud, any_kind[1] // 8, any_kind[2]]
        return np.stack(parts).astype(np.int8)

    # Neither R nor C divides L; the last token group partly empty, one group that is full, one token.
    drawn = random_encoder(Layout(SMALL_ENCODER_ARRAY, 24, 36, 2), 2, 0.5, g, quiet=True, places=9)
    # Of one token, whose weight is 127, quotients without a rest.
    drawn.constants["layers.0.attention.mean_numerator"][:] = (127 << 9) << 15
    first = sentence_run(drawn, embeddings(24, 12, 2))
    # More sentences are done than results of them have been taken, or have room.
    paused = replace(first, sentences=embeddings(24, 12, 5), pauses=Pauses(0, 250, 0))
    shorter = [replace(first, sentences=embeddings(24, *size)) for size in ((5, 3), (1, 2), (8, 1))]
    extreme = replace(first, sentences=extremes(24, 12))
    yield [replace(first, registers=True), extreme, paused, *shorter, replace(first, misplaced=True)]
    # A head's features divide nothing, sums in LUTs, weights from everywhere, a word a cycle.
    wide = replace(
        SMALL_ENCODER_ARRAY, rows=6, cols=6, lanes=2, vector_width=6, requant_interval=2, lut_sums=True, max_tokens=18
    )
    # Some block rows that are wanted are empty.
    drawn = random_encoder(Layout(wide, 3 * 9, 17, 3), 2, 0.4, g, quiet=True, places=12)
    drawn = replace(drawn, memories=[WeightMemory(place) for place in ("ddr", "uram", "bram") * 4])
    first = sentence_run(drawn, embeddings(27, 17, 2))
    others = (replace(first, sentences=embeddings(27, *size)) for size in ((18, 1), (2, 3), (6, 1), (7, 1)))
    extreme = replace(first, sentences=extremes(27, 18))
    yield [replace(first, registers=True), extreme, *others, replace(first, misplaced=True)]
    # So few words of keys to a token group that its quotients take longer.
    many = replace(
        SMALL_ENCODER_ARRAY, cols=8, lanes=12, vector_width=48, requant_interval=1, max_tokens=24, axi_ports=0
    )
    drawn = random_encoder(Layout(many, 48, 20, 6), 1, 0.6, g, quiet=True, places=6)
    # Sums as large as they get, and then as small: deviations of both ends.
    for name, gains in (("attention", (33025, 0)), ("ffn", (40, 40))):
        for side, gain in zip(("residual", "added"), gains, strict=True):
            drawn.constants[f"layers.0.{name}_norm.{side}_gain"][:] = gain
    drawn.constants["layers.0.ffn_norm.epsilon"][...] = 0
    loud = np.where(embeddings(48, 24, 1) < 0, -127, 127).astype(np.int8)
    first = sentence_run(drawn, loud)
    extreme = replace(first, sentences=extremes(48, 24))
    shorter = [replace(first, sentences=embeddings(48, 13, 2))]
    yield [replace(first, registers=True), extreme, *shorter, replace(first, misplaced=True)]
    # Weights come faster than the array takes them, so that all queues fill up; a token a group.
    slow = replace(
        SMALL_ENCODER_ARRAY,
        lanes=1,
        vector_width=2,
        max_tokens=30,
        axi_port_bits=32,
        weight_port_bits=32,
    )
    drawn = random_encoder(Layout(slow, 48, 48, 2), 1, 0.9, g, quiet=True, places=15)
    drawn = replace(drawn, memories=[WeightMemory.DDR] * 6)
    first = sentence_run(drawn, embeddings(48, 30, 1), memory=ExternalMemory(5))
    paused = replace(first, sentences=embeddings(48, 3, 4), pauses=Pauses(60, 200, 100))
    extreme = replace(first, sentences=extremes(48, 9))
    shorter = [replace(first, sentences=embeddings(48, 1, 2))]
    yield [replace(first, registers=True), extreme, paused, *shorter, replace(paused, misplaced=True)]


def places(fault: Fault) -> int:
    """How often what a fault changes stands in its source: once, if the fault is to mean anything."""
    return (data_folder("hls_templates") / RTL / fault.file).read_text(encoding="utf-8").count(fault.right)


def caught(fault: Fault | None, work: Path) -> str | None:
    """What first shows a fault; None if nothing does.

    Raises:
        InputError: The changed sources do not compile.
    """
    changed = () if fault is None else ((fault.file, fault.right, fault.wrong),)
    told = "" if fault in ENCODER_FAULTS else _caught_on_matrices(changed, work)
    return told or _caught_on_sentences(changed, work)


def _caught_on_sentences(changed: tuple[tuple[str, str, str], ...], work: Path) -> str | None:
    for number, runs in enumerate(sentences()):
        runs = [replace(run, changed=changed) for run in runs]
        simulator = prepare_sentences(runs[0], work, fast_build=True)
        for run in runs:
            try:
                told = sentence_differences(run, simulate_sentences(run, simulator))
            except InputError as error:
                told = [str(error).partition(": ")[2]]
            if told:
                return f"encoder {number}, {len(run.sentences)} × {run.tokens} tokens: {told[0][:90]}"
    return None


def _caught_on_matrices(changed: tuple[tuple[str, str, str], ...], work: Path) -> str | None:
    every = list(designs())
    for number, (run, expected) in enumerate(every):
        run = replace(run, changed=changed)
        try:
            told = differences(run, simulate(run, work, fast_build=True), expected)  # type: ignore[arg-type]
        except InputError as error:
            if "build.log" in str(error):
                raise
            told = [str(error).partition(": ")[2]]
        if told:
            return f"design {number}: {told[0][:90]}"
    run, expected = every[0]
    try:
        simulate_interfaces(replace(run, changed=changed, repeats=1), expected, work)  # type: ignore[arg-type]
    except InputError as error:
        if "build.log" in str(error):
            raise
        return f"interfaces: {str(error).partition(': ')[2][:90]}"
    return None


def main() -> int:
    """Plant every fault; exit code 1 if more than one escapes or the right engine is not clean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work-dir", type=Path, default=Path("build/sim/faults"))
    parser.add_argument("--only", type=int, action="append", help="numbers of faults")
    given = parser.parse_args()
    for fault in FAULTS:
        if (count := places(fault)) != 1:
            print(f"{fault.file}: {count} times in it: {fault.right}")
            return 1
    began = time.time()
    if (told := caught(None, given.work_dir)) is not None:
        print(f"the engine itself is not right: {told}")
        return 1
    escaped = []
    for number, fault in enumerate(FAULTS):
        if given.only and number not in given.only:
            continue
        told = caught(fault, given.work_dir)
        print(f"{number:2} {'caught ' if told else 'ESCAPED'} {fault.what}: {told or fault.file}", flush=True)
        if told is None:
            escaped.append(fault)
    count = len(given.only or FAULTS)
    print(f"{count - len(escaped)} of {count} caught, {time.time() - began:.0f} s")
    return 1 if len(escaped) > 1 else 0


if __name__ == "__main__":
    sys.exit(main())
