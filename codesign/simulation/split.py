"""A task's development set through the simulated engine: its score as the hardware gives it.

Sentences of one length run one after another in one start, some at a time; such chunks are independent of each
other, and as many run at once as there are jobs. What a chunk has given is kept until all are through, so that an
interrupted command goes on where it was.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from numpy.typing import NDArray
from transformers import AutoTokenizer

from codesign.design.content import Design
from codesign.design.document import METRICS
from codesign.errors import InputError
from codesign.files import read_json, write_bytes
from codesign.pruning.finished import read_data
from codesign.simulation.engine import Simulator, Stage, silent
from codesign.simulation.outcome import ScoreRecord
from codesign.simulation.sentences import ROOM, SentenceOutcome, SentenceRun, prepare_sentences, simulate_sentences
from codesign.simulation.whole import Batch, WholeDesign
from codesign.tasks.data import drawn, tokenised
from codesign.tasks.metrics import score
from codesign.tasks.task import Task

_LITTLE = 4e9
"""Products that the array could make in all cycles of all sentences, up to which a simulator that compiles faster and
runs slower takes less time in all: a rough choice."""

Shown = Callable[[Iterator[int], int], Iterator[int]]
"""Passes on what has been done, given how much there is: a progress bar."""


@dataclass(frozen=True)
class Chunk:
    """What a chunk has given.

    Attributes:
        outputs: Of the last layer, sentences × features × tokens.
        mismatches: Of these, how many differ from the integer model's.
        predicted_cycles, counted_cycles: Of all its sentences, from start to last beat.
        moments_off: Steps of the last one that begin or end at other cycles than predicted.
    """

    outputs: NDArray[np.int8]
    mismatches: int
    predicted_cycles: int
    counted_cycles: int
    moments_off: int


@dataclass(frozen=True)
class Rows:
    """Sentences of a task's split.

    Attributes:
        task: Decides the metric.
        split: Its name.
        sentences: Tokenised, one each, without padding.
        labels: Theirs.
    """

    task: Task
    split: str
    sentences: tuple[Batch, ...]
    labels: tuple[float | int, ...]


def read_rows(
    design: Design,
    split: str,
    data_dir: Path | None = None,
    columns: Mapping[str, str] | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Rows:
    """The sentences of a split of a design's task.

    Args:
        design: The design folder.
        split: A name, or ``dev`` for the one that decides.
        data_dir: Where the task's files are now; default: where they were.
        columns: What their columns are called now; default: what they were called.
        limit: So many, drawn by the seed; default: all.
        seed: Of that.

    Raises:
        InputError: The data is not to be had, or other data than it was, or has no such split.
    """
    data = read_data(read_json(design.folder / METRICS), data_dir, columns)
    names = data.task.evaluation
    name = names[0] if split == "dev" else split
    if name not in names:
        raise InputError(
            f"no split that task {data.task.name} is scored on",
            field="--split",
            value=split,
            accepted=", ".join(dict.fromkeys(("dev", *names))),
        )
    part = drawn(data.splits[name], limit, seed)
    tokenizer = AutoTokenizer.from_pretrained(design.folder)
    dataset = tokenised(part, tokenizer, design.document.tokens).remove_columns("labels")
    sentences = tuple({key: torch.tensor([value]) for key, value in row.items()} for row in dataset)
    return Rows(data.task, name, sentences, part.labels)


def simulate_split(
    whole: WholeDesign,
    rows: Rows,
    work: Path,
    *,
    jobs: int,
    shown: Shown,
    stage: Stage = silent,
) -> ScoreRecord:
    """Run sentences whole, each at its own length, and score what the hardware gives.

    Args:
        whole: The design on its board.
        rows: The sentences.
        work: Folder for simulators and for what has been done.
        jobs: Chunks at a time.
        shown: Shows how many sentences are done.
        stage: Shows what is going on.

    Raises:
        InputError: A simulation failed.
    """
    began = time.monotonic()
    inputs = [whole.embeddings(row)[0] for row in rows.sentences]
    little = _products(whole, [sentence.shape[1] for sentence in inputs]) < _LITTLE
    # Little work is done by the simulator that the design's own sentences have been run on.
    run = replace(whole.run, traced=little)
    simulator = prepare_sentences(run, work, fast_build=little, stage=stage)
    digest = hashlib.sha256(f"{simulator.built.name} {whole.design.document.checksum} {whole.latency}".encode())
    for sentence in inputs:
        digest.update(f"{sentence.shape}".encode() + sentence.tobytes())
    folder = work.resolve() / f"split-{digest.hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    parts = list(_chunks([sentence.shape[1] for sentence in inputs]))
    found: dict[int, Chunk] = {n: chunk for n, part in enumerate(parts) if (chunk := _read(folder / f"{n}.npz"))}
    waiting = [n for n in range(len(parts)) if n not in found]
    given = (
        delayed(_simulate)(replace(run, sentences=np.stack([inputs[i] for i in parts[n]])), simulator, folder, n)
        for n in waiting
    )

    def done() -> Iterator[int]:
        for n in list(found):
            yield from parts[n]
        for n, chunk in Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch="2*n_jobs")(given):
            found[n] = chunk
            yield from parts[n]

    for _ in shown(done(), len(inputs)):
        pass
    outputs: list[NDArray[np.int8]] = [np.zeros((0, 0), np.int8)] * len(inputs)
    for n, part in enumerate(parts):
        for place, number in enumerate(part):
            outputs[number] = found[n].outputs[place]
    by_hardware = np.concatenate(
        [whole.logits(row, [output]) for row, output in zip(rows.sentences, outputs, strict=True)]
    )
    by_integers = np.concatenate([whole.classifier.logits(row).numpy() for row in rows.sentences])
    metric, truth = rows.task.metrics[0].value, np.asarray(rows.labels)
    record = ScoreRecord(
        rows.split,
        metric,
        score(rows.task, by_hardware, truth, "the simulated hardware")[metric],
        score(rows.task, by_integers, truth, "the integer model")[metric],
        len(inputs),
        sum(a != b for a, b in zip(whole.labels(by_hardware), whole.labels(by_integers), strict=True)),
        sum(chunk.predicted_cycles for chunk in found.values()),
        sum(chunk.counted_cycles for chunk in found.values()),
        sum(output.size for output in outputs),
        sum(chunk.mismatches for chunk in found.values()),
        sum(chunk.moments_off for chunk in found.values()),
        time.monotonic() - began,
        jobs,
    )
    shutil.rmtree(folder)
    return record


def _chunks(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Numbers of sentences of the same length, so many at a time; the longest first, so that no job waits for one."""
    for length in sorted(set(lengths), reverse=True):
        alike = [number for number, one in enumerate(lengths) if one == length]
        for first in range(0, len(alike), ROOM):
            yield alike[first : first + ROOM]


def _products(whole: WholeDesign, lengths: Sequence[int]) -> float:
    """Of the array at full rate for as long as all sentences take, about."""
    run, counts = whole.run, Counter(lengths)
    shape = whole.design.document.shape.hidden
    cycles = sum(
        count * replace(run, sentences=np.zeros((1, shape, length), np.int8)).predicted().cycles
        for length, count in counts.items()
    )
    return float(cycles * whole.design.document.accelerator.macs_per_cycle)


def _simulate(run: SentenceRun, simulator: Simulator, folder: Path, number: int) -> tuple[int, Chunk]:
    """One chunk, in a folder that this process has for itself."""
    torch.set_num_threads(1)
    own = folder / f"process-{os.getpid()}"
    if not own.is_dir():
        shutil.copytree(simulator.folder, own)
    outcome = simulate_sentences(run, replace(simulator, folder=own))
    chunk = _chunk(outcome)
    content = BytesIO()
    np.savez(content, outputs=chunk.outputs, numbers=[*list(vars(chunk).values())[1:]])
    write_bytes(folder / f"{number}.npz", content.getvalue())
    return number, chunk


def _chunk(outcome: SentenceOutcome) -> Chunk:
    return Chunk(
        outcome.outputs,
        sum(outcome.mismatches) + sum(step.mismatches for step in outcome.steps),
        outcome.predicted_cycles,
        outcome.counted_cycles,
        outcome.moments_off,
    )


def _read(path: Path) -> Chunk | None:
    """What an earlier command has kept, which is whole or not there."""
    if not path.is_file():
        return None
    with np.load(path) as kept:
        return Chunk(kept["outputs"], *(int(number) for number in kept["numbers"]))
