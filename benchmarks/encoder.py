"""Whole sentences on the device: ``python -m benchmarks.encoder [--simulate]`` writes docs/results/encoder.md.

What a sentence of 128 tokens takes at several compressions, each on the best array for it, where its cycles go, and
what others publish of whole encoders. With ``--simulate`` some of the designs run one sentence through the generated
SystemVerilog, with random weights and masks: every bit of every step and every cycle compared. That takes some
minutes and gigabytes for BERT-base; without it, the page keeps what was counted before.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.pruning import ROOT
from codesign import __version__
from codesign.boards import load_board
from codesign.files import read_json, to_json, write_text
from codesign.hardware.cycles import token_groups
from codesign.hardware.run import evenly
from codesign.hardware.timeline import external_memory
from codesign.models import EncoderShape, parse_shape
from codesign.planning.plan import Plan, make_plan
from codesign.planning.work import Budget, BudgetKind, Work
from codesign.program.estimate import layout_of
from codesign.program.sentence import sentence_times
from codesign.program.steps import Kind
from codesign.program.timeline import occupied
from codesign.simulation.random_encoders import random_encoder, sentence_run
from codesign.simulation.sentences import prepare_sentences, simulate_sentences

RESULT = ROOT / "docs" / "results" / "encoder.md"
COUNTED = RESULT.with_suffix(".json")
BOARD, TOKENS, IN_A_ROW = "zcu104", 128, 10
MINI = parse_shape("name=MiniLM-L6-H384,hidden=384,layers=6,ffn=1536,heads=12")
BASE = parse_shape("name=BERT-base,hidden=768,layers=12,ffn=3072,heads=12")
COMPRESSIONS = (1.0, 1.8, 2.5, 5.0)
SIMULATED = ((MINI, 5.0), (MINI, 1.8), (BASE, 5.0))
NEEDED, ROW_NEEDED = 1.12, 1.05
"""Goals: cycles of a sentence, and of one of several in a row, over what the array needs at full rate, at 5×."""


@dataclass(frozen=True)
class Spent:
    """Where the cycles of a sentence go.

    Attributes:
        needed: What the array needs at full rate for kept blocks and attention products.
        padding: More that it is occupied: heads and keys that fill no whole blocks, block rows of less than Q blocks.
        waiting: Cycles in which it has no step, by what the vector unit does then; ``drain``: nothing, results are on
            their way through pipelines.
    """

    needed: float
    padding: float
    waiting: Mapping[str, int]


@dataclass(frozen=True)
class Counted:
    """One sentence in simulated RTL.

    Attributes:
        predicted, counted: Cycles.
        outputs, mismatches: Compared, different.
        moments_off: Steps that begin or end at other cycles.
        seconds, build_seconds: Of simulation, of building the simulator.
        date: When.
    """

    predicted: int
    counted: int
    outputs: int
    mismatches: int
    moments_off: int
    seconds: float
    build_seconds: float
    date: str


def planned(shape: EncoderShape, compression: float) -> Plan:
    """The best array for a compression; the dense model's for none."""
    budget = Budget() if compression == 1 else Budget(BudgetKind.COMPRESSION, compression)
    return make_plan(load_board(BOARD), Work(shape, tokens=TOKENS), budget)


def cycles_in_a_row(plan: Plan, sentences: int) -> int:
    """Of sentences one after another, blocks spread evenly."""
    design = plan.chosen
    shape, matrices = plan.work.shape, evenly(design)
    return sentence_times(design.accelerator, plan.board, shape, matrices, TOKENS, sentences)[1].cycles


def spent(plan: Plan) -> Spent:
    """Where a sentence's cycles go."""
    design, a, shape = plan.chosen, plan.chosen.accelerator, plan.work.shape
    program, times = sentence_times(a, plan.board, shape, evenly(design), TOKENS)
    needed = design.nonzero_blocks * token_groups(a, TOKENS) + shape.attention_macs(TOKENS) / a.macs_per_cycle
    busy = np.zeros(times.cycles, bool)
    for begin, end in occupied(times.array):
        busy[begin:end] = True
    waiting = {}
    for kind in (Kind.NORM, Kind.SOFTMAX, Kind.LOAD):
        here = np.zeros_like(busy)
        for step, (begin, end) in zip(program.vector, occupied(times.vector), strict=True):
            here[begin:end] |= step.kind is kind
        waiting[kind.value] = int((here & ~busy).sum())
        busy |= here
    waiting["drain"] = int((~busy).sum())
    return Spent(needed, times.cycles - sum(waiting.values()) - needed, waiting)


def count(plan: Plan, work: Path, compression: float) -> Counted:
    """One sentence of random embeddings through the engine, weights and masks random too."""
    design, a, shape = plan.chosen, plan.chosen.accelerator, plan.work.shape
    g = np.random.default_rng(0)
    drawn = random_encoder(layout_of(a, shape), shape.layers, 1 / compression, g)
    drawn = replace(drawn, memories=[matrix.memory for matrix in evenly(design)])
    sentence = g.integers(-127, 128, (1, shape.hidden, TOKENS)).astype(np.int8)
    memory = external_memory(a, plan.board)
    run = sentence_run(drawn, sentence, plan.board.device.dsp_type, memory=memory)
    began = time.monotonic()
    simulator = prepare_sentences(run, work, room=1)
    built = time.monotonic() - began
    outcome = simulate_sentences(run, simulator)
    return Counted(
        outcome.predicted_cycles,
        outcome.counted_cycles,
        outcome.outputs.size + sum(step.outputs for step in outcome.steps),
        sum(outcome.mismatches) + sum(step.mismatches for step in outcome.steps),
        outcome.moments_off,
        outcome.seconds,
        built,
        datetime.date.today().isoformat(),
    )


_PUBLISHED = (
    (
        "Brainsmith (FINN), an example's goal, not a measurement",
        "V80, 200 MHz",
        "one layer of this shape, 8 bit, dense, 128 tokens",
        "3,000 sentences/s aimed at",
        "microsoft/Brainsmith @ 6b1e9ef1, examples/bert",
    ),
    (
        "FQ-BERT (DATE 2021)",
        "ZCU102, ZCU111",
        "BERT-base, 4-bit weights, 8-bit activations, dense, whole encoder",
        "3.18 sentences/s per W",
        "arXiv 2103.02800, abstract",
    ),
    (
        "column-balanced block pruning (ISQED 2021)",
        "FPGA of a data centre card",
        "a small transformer, pruned, batch of 32",
        "10.35 ms a batch",
        "isqed.org, archive of 2021, abstract",
    ),
)
"""(who, device, what, published figure, source): whole encoders. Shapes, precisions and boards differ from ours."""


def page(counted: Mapping[str, Counted]) -> Iterator[str]:
    """docs/results/encoder.md."""
    plans = {compression: planned(MINI, compression) for compression in COMPRESSIONS}
    dense = plans[1.0].predicted.cycles
    yield "# Whole sentences on the device"
    yield ""
    yield (
        f"Written by `python -m benchmarks.encoder` on {datetime.date.today().isoformat()} (codesign {__version__},"
        f" Python {platform.python_version()}; planning draws no random numbers, simulation has seed 0)."
    )
    yield ""
    yield (
        f"{MINI.name}'s shape on {BOARD}, {TOKENS} tokens, int8; cycles from start to last beat, embeddings in, last"
        " layer out, of the hardware model with the blocks of every matrix spread evenly. Every line has the array"
        " that is best for it; speed-up is over the dense model's own best array. Needed: what the array would take"
        " at full rate for kept blocks and attention products alone. Milliseconds rest on the board file's clock,"
        " which no synthesis supports yet."
    )
    yield ""
    yield (
        f"| compression | array | Q | V | cycles | ms | speed-up | ÷ needed | {IN_A_ROW} in a row, each | ÷ needed"
        " | LUT | BRAM18 | URAM | DSP |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    for compression, plan in plans.items():
        a, cycles, used = plan.chosen.accelerator, plan.predicted.cycles, plan.chosen.resources
        needed, row = spent(plan).needed, cycles_in_a_row(plan, IN_A_ROW) / IN_A_ROW
        cells = (
            "dense" if compression == 1 else f"{compression:g}×",
            a.shape,
            a.requant_interval,
            a.vector_rows,
            f"{cycles:,}",
            f"{cycles / a.clock_mhz / 1000:.3f}",
            f"{dense / cycles:.2f}×",
            f"{cycles / needed:.3f}",
            f"{row:,.0f}",
            f"{row / needed:.3f}",
            *(f"{n:,}" for n in (used.lut, used.bram18, used.uram, used.dsp)),
        )
        yield "| " + " | ".join(str(cell) for cell in cells) + " |"
    yield ""
    yield (
        f"Goals at 5×: {NEEDED} for one sentence, {ROW_NEEDED} for one of {IN_A_ROW} in a row. Sentences in a row"
        " wait for their LayerNorms as one alone does: nothing of the next one is on the device yet. Having it there"
        " would take the activations' memories twice, which this board lacks beside this array."
    )
    yield ""
    yield "## Where the cycles go"
    yield ""
    yield "| compression | needed | padding | LayerNorm | softmax | embeddings in | pipelines |"
    yield "|---|---|---|---|---|---|---|"
    for compression, plan in plans.items():
        found = spent(plan)
        parts = (found.needed, found.padding, *found.waiting.values())
        told = tuple(f"{part:,.0f} ({part / plan.predicted.cycles:.1%})" for part in parts)
        yield "| " + " | ".join(("dense" if compression == 1 else f"{compression:g}×", *told)) + " |"
    yield ""
    yield (
        "Padding: the array is occupied, but not by useful products (heads and keys that fill no whole blocks, block"
        " rows of fewer than Q blocks). The others: the array has no step, and the vector unit does this; pipelines:"
        " neither, results are on their way."
    )
    yield ""
    yield "## Counted in simulated RTL"
    yield ""
    yield (
        "One sentence of random embeddings, random weights and masks (so that block rows are filled unevenly), in the"
        " array of the plan; every result of every step compared. Seconds are of simulation with one thread, whatever"
        " else the machine did."
    )
    yield ""
    yield "| model | compression | predicted | counted | steps off | outputs | different | seconds | build | date |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for shape, compression in SIMULATED:
        one = counted.get(_key(shape, compression))
        if one is None:
            yield f"| {shape.name} | {compression:g}× | not yet counted |" + " |" * 7
            continue
        yield (
            f"| {shape.name} | {compression:g}× | {one.predicted:,} | {one.counted:,} | {one.moments_off}"
            f" | {one.outputs:,} | {one.mismatches:,} | {one.seconds:.1f} | {one.build_seconds:.0f} s | {one.date} |"
        )
    yield ""
    yield "## Beside what others publish of whole encoders"
    yield ""
    yield "Ours are predictions of the hardware model, counted in simulation where the table above says so; no board"
    yield "stands behind them. Theirs are as published. Models, precisions, boards and clocks differ."
    yield ""
    yield "| | device | what | figure | source |"
    yield "|---|---|---|---|---|"
    for compression in (1.0, 5.0):
        plan = plans[compression]
        kept = "dense" if compression == 1 else f"pruned {compression:g}×"
        what = f"{MINI.name}'s shape, {MINI.layers} layers, int8, {kept}, {TOKENS} tokens"
        clock = f"{BOARD}, {plan.chosen.accelerator.clock_mhz:g} MHz assumed"
        yield f"| this project, predicted | {clock} | {what} | {plan.predicted.latency_ms:.3f} ms | above |"
    for line in _PUBLISHED:
        yield "| " + " | ".join(line) + " |"


def _key(shape: EncoderShape, compression: float) -> str:
    return f"{shape.name} {compression:g}"


def main() -> None:
    """Simulate, if asked to, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulate", action="store_true", help="run sentences through the RTL, too")
    parser.add_argument("--only", default="", help="of these, those whose model and compression contain this text")
    parser.add_argument("--work-dir", type=Path, default=ROOT / "build" / "results" / "encoder")
    arguments = parser.parse_args()
    stored: dict[str, Any] = read_json(COUNTED) if COUNTED.is_file() else {}
    counted = {key: Counted(**value) for key, value in stored.items()}
    for shape, compression in SIMULATED if arguments.simulate else ():
        key = _key(shape, compression)
        if arguments.only in key:
            counted[key] = count(planned(shape, compression), arguments.work_dir, compression)
            print(key, counted[key], flush=True)
            write_text(COUNTED, to_json({name: asdict(one) for name, one in counted.items()}))
    write_text(RESULT, "\n".join(page(counted)) + "\n")
    print(f"wrote {RESULT}")


if __name__ == "__main__":
    main()
