"""Sentences through the simulated engine: every bit of every step, every cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codesign.boards import DspType
from codesign.errors import InputError
from codesign.hardware.cycles import token_groups
from codesign.hardware.memories import ceil_div
from codesign.hardware.timeline import ExternalMemory, Stalls
from codesign.packing.blocks import PackedMatrix
from codesign.packing.images import ImageSet
from codesign.packing.streams import activation_beats
from codesign.program.device import Encoder
from codesign.program.steps import Kind
from codesign.program.timeline import MatrixBlocks, SentenceTimes, StepTimes, encoder_times
from codesign.quantisation.encoder import Encoder as IntegerEncoder
from codesign.simulation.engine import (
    EngineRun,
    Pauses,
    Simulator,
    Stage,
    counted_stalls,
    external_part,
    prepare,
    run_built,
    silent,
)
from codesign.simulation.reference import StepWords, outputs, reference

ROOM = 16
"""Sentences in one start, the most: a start takes about a second of its own."""


@dataclass(frozen=True)
class SentenceRun:
    """Sentences that are run one after another.

    Attributes:
        encoder: The program, and what else hardware is made of.
        dsp_type: Of the device.
        images: Of all memories.
        packed: Every matrix.
        model: The integer model, which says what must come out.
        sentences: Embeddings, sentences × features × tokens, int8.
        pauses: Of the streams and of external memory.
        memory: External memory.
        seed: Of the pauses.
        traced: Whether every step's results are compared, of the last sentence; else the last layer's alone.
        changed: Faults that are planted.
        netlist: The engine as a netlist, which is built instead of its sources.
        misplaced: Whether the mark of a sentence's last beat stands elsewhere, which is to be flagged.
        registers: Whether every bit of every register is tried, before, during and after the run.
    """

    encoder: Encoder
    dsp_type: DspType
    images: ImageSet
    packed: Sequence[PackedMatrix]
    model: IntegerEncoder
    sentences: NDArray[np.int8]
    pauses: Pauses = field(default_factory=Pauses)
    memory: ExternalMemory = field(default_factory=ExternalMemory)
    seed: int = 1
    traced: bool = True
    changed: tuple[tuple[str, str, str], ...] = ()
    netlist: str | None = None
    misplaced: bool = False
    registers: bool = False

    @property
    def tokens(self) -> int:
        """Of every sentence."""
        return int(self.sentences.shape[2])

    def predicted(self) -> SentenceTimes:
        """What the hardware model says, without pauses."""
        places = self.images.matrices
        layout, program = self.encoder.layout, self.encoder.program
        rows = {step.matrix: list(step.rows) for step in program.array}
        matrices = [
            MatrixBlocks(tuple(packed.row_blocks[rows[number]].tolist()), external_part(self.images, place))
            for number, (packed, place) in enumerate(zip(self.packed, places, strict=True))
        ]
        return encoder_times(
            layout, program, matrices, self.dsp_type, self.tokens, len(self.sentences), memory=self.memory
        )


@dataclass(frozen=True)
class StepOutcome:
    """One step of the last sentence.

    Attributes:
        name, kind: Of the step.
        predicted, counted: When it begins and ends.
        outputs: Results compared.
        mismatches: Of these, how many differ from the integer model's.
    """

    name: str
    kind: Kind
    predicted: StepTimes
    counted: StepTimes
    outputs: int
    mismatches: int


@dataclass(frozen=True)
class SentenceOutcome:
    """What simulation of sentences gave.

    Attributes:
        steps: Of the last sentence.
        outputs: The last layer's results, sentences × features × tokens.
        mismatches: Of these, how many differ, per sentence.
        predicted_cycles, counted_cycles, clock_cycles: From start to last beat: the hardware model's, by the engine's
            counter, by the simulator's clock.
        status: The status register.
        seconds: Of the run itself.
        predicted_stalls, stalls: Cycles that the array waits: the hardware model's, and by the engine's counters.
    """

    steps: tuple[StepOutcome, ...]
    outputs: NDArray[np.int8]
    mismatches: tuple[int, ...]
    predicted_cycles: int
    counted_cycles: int
    clock_cycles: int
    status: int
    seconds: float
    predicted_stalls: Stalls
    stalls: Stalls

    @property
    def right(self) -> bool:
        """No bit differs."""
        return not any(self.mismatches) and not any(step.mismatches for step in self.steps)

    @property
    def moments_off(self) -> int:
        """Steps that begin or end at other cycles than predicted."""
        return sum(step.predicted != step.counted for step in self.steps)

    @property
    def exact(self) -> bool:
        """No cycle differs."""
        cycles = self.predicted_cycles == self.counted_cycles == self.clock_cycles
        return not self.moments_off and cycles and self.predicted_stalls == self.stalls


def prepare_sentences(
    run: SentenceRun,
    work: Path,
    *,
    waves: bool = False,
    fast_build: bool = False,
    room: int = ROOM,
    stage: Stage = silent,
) -> Simulator:
    """Build the engine where that is needed: a simulator for every run that differs in its sentences alone.

    Args:
        run: What to run.
        work: Folder for builds and runs.
        waves: Write a waveform.
        fast_build: Compile faster, run slower: for small designs.
        room: Sentences of the longest that the harness holds.
        stage: Shows what is going on.

    Raises:
        InputError: No simulator, or it cannot be built.
    """
    return prepare(engine_run(run), work, _sizes(run, room), waves=waves, fast=fast_build, stage=stage)


def simulate_sentences(run: SentenceRun, simulator: Simulator) -> SentenceOutcome:
    """Run the sentences in an engine that has been built for them, and compare.

    Raises:
        InputError: More tokens than the buffers hold, or the simulation failed.
    """
    layout, program = run.encoder.layout, run.encoder.program
    a, count = layout.accelerator, len(run.sentences)
    if run.tokens > a.max_tokens:
        raise InputError(
            "more tokens than the buffers hold", field="tokens", value=run.tokens, accepted=f"1 to {a.max_tokens}"
        )
    groups = token_groups(a, run.tokens)
    wanted = [outputs(run.model, sentence) for sentence in run.sentences]
    words, beats = layout.norm_words * groups, ceil_div(a.vector_width * 8, a.stream_bits)
    steps, others = len(program.array), len(program.vector)
    predicted = run.predicted()
    found = run_built(
        engine_run(run),
        simulator,
        [activation_beats(a, sentence) for sentence in run.sentences],
        predicted.cycles,
        layers=steps,
        repeats=count,
    )
    times = found.lines("times.mem", 4)[: 2 * (steps + others)].view("<u4").reshape(-1, 2)
    counted = [StepTimes(int(begun), int(ended)) for begun, ended in times]
    expected = (*predicted.array[-steps:], *predicted.vector[-others:])
    results = [(0, 0)] * (steps + others)
    if run.traced:
        last = reference(layout, program, run.model, run.sentences[-1])
        results[:steps] = _compared(last.array, found.lines("array.mem", layout.drained * a.lanes * 2), "<i2")
        results[steps + 1 :] = _compared(last.vector, found.lines("vector.mem", a.vector_width), "i1")
    names = [(step.name, step.kind) for step in program.array] + [(step.name, step.kind) for step in program.vector]
    outcomes = tuple(
        StepOutcome(*name, want, have, *result)
        for name, want, have, result in zip(names, expected, counted, results, strict=True)
    )
    kept = found.lines("results.mem", a.stream_bits // 8)[: count * words * beats]
    kept = kept.reshape(count * words, -1)[:, : a.vector_width]
    laid = kept.view(np.int8).reshape(count, groups, layout.norm_words, a.vector_rows, a.lanes)
    last_layer = laid.transpose(0, 2, 3, 1, 4).reshape(count, layout.norm_words * a.vector_rows, -1)
    last_layer = last_layer[:, : layout.hidden, : run.tokens]
    differ = tuple(int((have != want).sum()) for have, want in zip(last_layer, wanted, strict=True))
    outcome = found.outcome
    return SentenceOutcome(
        outcomes,
        last_layer,
        differ,
        predicted.cycles,
        outcome["cycles"],
        outcome["clock"],
        outcome["status"],
        outcome["seconds"],
        predicted.stalls,
        counted_stalls(outcome),
    )


def engine_run(run: SentenceRun) -> EngineRun:
    """What the engine is built and run for."""
    return EngineRun(
        run.encoder.layout.accelerator,
        run.dsp_type,
        run.images,
        run.packed,
        list(run.sentences),
        pauses=run.pauses,
        memory=run.memory,
        seed=run.seed,
        encoder=run.encoder,
        changed=run.changed,
        netlist=run.netlist,
        misplaced=run.misplaced,
        registers=run.registers,
    )


def _sizes(run: SentenceRun, count: int) -> dict[str, int]:
    """Parameters of the harness: room for so many of the longest sentences."""
    layout, program = run.encoder.layout, run.encoder.program
    a = layout.accelerator
    words, beats = layout.norm_words * layout.groups, ceil_div(a.vector_width * 8, a.stream_bits)
    load = layout.state_columns * layout.groups * ceil_div(a.cols * a.lanes * 8, a.stream_bits)
    traced = {}
    if run.traced:
        longest = reference(layout, program, run.model, np.zeros((layout.hidden, a.max_tokens), np.int8))
        traced["TRACE_ARRAY"] = sum(len(step.values) for step in longest.array)
        traced["TRACE_VECTOR"] = sum(len(step.values) for step in longest.vector)
    return {
        "IN_BEATS": load * count,
        "OUT_BEATS": words * beats * count,
        "JOBS": ceil_div(2 * (len(program.array) + len(program.vector)), 5),
        **traced,
    }


def _compared(wanted: Sequence[StepWords], kept: NDArray[np.uint8], kind: str) -> list[tuple[int, int]]:
    """(results compared, mismatches) of every step, whose words lie one after another."""
    found, at = [], 0
    for step in wanted:
        words = kept[at : at + len(step.values)].view(kind).reshape(step.values.shape)
        found.append((int(step.counts.sum()), step.mismatches(words)))
        at += len(step.values)
    return found
