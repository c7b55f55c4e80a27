"""What is known of a design: its own files, the hardware model, simulation, Vitis."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from codesign.boards import Board, board_names
from codesign.checksums import CHECKSUM, check_files, check_sealed
from codesign.design.content import Design
from codesign.design.document import DESIGN, IMAGES, METRICS
from codesign.design.folder import read_document
from codesign.design.hardware import design_times, placed_matrices, resources_by_module
from codesign.errors import InputError
from codesign.files import check, read_json
from codesign.hardware.cycles import external_bytes_per_cycle
from codesign.hardware.predict import roofline
from codesign.hardware.resources import (
    Placed,
    Resources,
    total,
)
from codesign.hardware.run import pruned
from codesign.packing.blocks import kept_blocks
from codesign.packing.images import Size, read_manifest
from codesign.program.sentence import dense_sentence_cycles, matrix_times, sentence_times
from codesign.program.steps import Program
from codesign.program.timeline import SentenceTimes
from codesign.report.vitis import VitisReport
from codesign.simulation.outcome import DesignOutcome, LayerOutcome, read_outcome


@dataclass(frozen=True)
class Scores:
    """The task's first metric, in points, of one run.

    Attributes:
        model: The model's name.
        compression: Of the encoder's matrices.
        dense, pruned, integer: None where a step has not been done.
    """

    model: str
    compression: float
    dense: float | None
    pruned: float | None
    integer: float | None


class Metrics(BaseModel):
    """What the page takes from a metrics.json; None: that step has not been done."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    task: str
    metric: str
    model: str
    dense: float | None = None
    pruned: float | None = None
    integer: float | None = None
    all_metrics: dict[str, dict[str, dict[str, float]]]
    compression: dict[str, float]
    settings: dict[str, Any] = {}
    seed: int
    precision: str = ""
    versions: dict[str, str]
    date: str = ""
    seconds: float | None = None

    @property
    def scores(self) -> Scores:
        """The task's first metric."""
        return Scores(self.model, self.compression["encoder"], self.dense, self.pruned, self.integer)


@dataclass(frozen=True)
class Facts:
    """What is known of a design.

    Attributes:
        design: Its folder.
        board: Its board.
        metrics: Its metrics.json.
        simulated: Its sim.json; None: not simulated.
        vitis: Vitis's reports; None: none were given.
        others: Other runs to compare scores with.
    """

    design: Design
    board: Board
    metrics: Metrics
    simulated: DesignOutcome | None
    vitis: VitisReport | None = None
    others: Sequence[Scores] = ()

    @cached_property
    def _placed(self) -> tuple[Placed, ...]:
        """The matrices with their masks, where design.yaml says that they lie."""
        return placed_matrices(self.design)

    @cached_property
    def left_out(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(block rows that are not run, of how many), (block columns that are not read, of how many)."""
        masks = [kept_blocks(self.design.packed(layer)) for layer in self.design.document.layers]
        rows = sum(int((~mask.any(axis=1)).sum()) for mask in masks), sum(len(mask) for mask in masks)
        columns = sum(int((~mask.any(axis=0)).sum()) for mask in masks), sum(mask.shape[1] for mask in masks)
        return rows, columns

    @cached_property
    def parts(self) -> Mapping[str, Resources]:
        """Resources by module of the engine."""
        return resources_by_module(self.design, self.board)

    @cached_property
    def resources(self) -> Resources:
        """Of the whole engine."""
        return total(self.parts)

    @property
    def tokens(self) -> int:
        """Of the sentence whose matrices' cycles are shown: the first that was simulated, else the longest."""
        return self.simulated.sentences[0].tokens if self.simulated else self.design.document.tokens

    @cached_property
    def rooflines(self) -> Mapping[str, tuple[str, float | None]]:
        """What bounds each matrix, and its multiply-accumulates per byte of external memory, None for none."""
        d, rate = self.design.document, self.board.read_bytes_per_second
        return {
            placed.sparse.matrix.name: roofline(d.accelerator, placed.sparse, self.tokens, placed.memory, rate)
            for placed in self._placed
        }

    @cached_property
    def dense_matrix_cycles(self) -> tuple[int, ...]:
        """Of the hardware model, each matrix with all its blocks, its weights where the design has them.

        As long as the kept blocks' cycles are counted: from the first block's entry to the last result.
        """
        d, masks = self.design.document, [kept_blocks(self.design.packed(x)) for x in self.design.document.layers]
        matrices = [
            pruned(np.ones_like(mask), layer.weight_memory, activation=layer.activation)
            for mask, layer in zip(masks, d.layers, strict=True)
        ]
        program, times = sentence_times(d.accelerator, self.board, d.shape, matrices, self.tokens)
        return tuple(time.ended - time.begun for time in matrix_times(program, times))

    @property
    def simulate_command(self) -> str:
        """What simulates the design, to be typed into a shell."""
        board = "" if self.board.name in board_names() else f" BOARD={self.board.name}.yaml"
        return f"make -C sim DESIGN={shlex.quote(str(self.design.folder.resolve()))}{board}"

    @property
    def layers(self) -> Mapping[str, LayerOutcome]:
        """Matrices in simulation by name; empty where there was none."""
        return {layer.name: layer for layer in self.simulated.layers} if self.simulated else {}

    @property
    def steps(self) -> Mapping[str, float]:
        """The task's first metric after each step that has been done."""
        scores = {"dense": self.metrics.dense, "pruned": self.metrics.pruned, "integer": self.metrics.integer}
        return {name: value for name, value in scores.items() if value is not None}

    @cached_property
    def predicted_cycles(self) -> int:
        """Of the batch's sentences, of the full length, from start to last output, of the hardware model."""
        return self.times[1].cycles

    @cached_property
    def times(self) -> tuple[Program, SentenceTimes]:
        """The steps of these sentences and when each begins and ends."""
        return design_times(self.design, self.board)

    @cached_property
    def sentence(self) -> tuple[Program, SentenceTimes]:
        """The steps of one sentence of the full length and their times."""
        return self.times if self.design.document.batch == 1 else design_times(self.design, self.board, sentences=1)

    @cached_property
    def dense_cycles(self) -> int:
        """The same of the dense model on the same array, of the hardware model."""
        d = self.design.document
        return dense_sentence_cycles(d.accelerator, self.board, d.shape, d.tokens, d.batch)

    @property
    def latency_ms(self) -> float:
        """``predicted_cycles`` at the design's clock, in milliseconds."""
        return self.predicted_cycles / self.design.document.accelerator.clock_mhz / 1000

    @property
    def speedup(self) -> float:
        """Over the dense model on the same array."""
        return self.dense_cycles / self.predicted_cycles

    @property
    def utilisation(self) -> float:
        """Useful multiply-accumulates, those of kept blocks and of attention, ÷ (R·C·L · cycles)."""
        d = self.design.document
        kept = sum(layer.nonzero_blocks for layer in d.layers) * d.accelerator.block_area * d.tokens
        useful = d.batch * (kept + d.shape.attention_macs(d.tokens))
        return useful / (d.accelerator.macs_per_cycle * self.predicted_cycles)

    @cached_property
    def size(self) -> Size:
        """Bits of the packed matrices."""
        return read_manifest(self.design.folder / IMAGES).size

    @property
    def bytes_per_cycle(self) -> float:
        """Of external memory, as planned; 0 without ports to it."""
        accelerator = self.design.document.accelerator
        if not accelerator.axi_ports:
            return 0.0
        return float(external_bytes_per_cycle(accelerator, self.board.read_bytes_per_second))


def read_facts(
    design: Design, board: Board, *, vitis: VitisReport | None = None, others: Sequence[Path] = ()
) -> Facts:
    """Collect what is known.

    Args:
        design: The design folder.
        board: Its board.
        vitis: What Vitis reported of it.
        others: Folders of other runs or designs, each with a metrics.json of the same task and metric.

    Raises:
        InputError: metrics.json or sim.json cannot be read or does not belong to the design, or another run's is
            missing or of another task.
    """
    metrics = _metrics(design.folder)
    compared = []
    for folder in others:
        other = _metrics(folder)
        for field in ("task", "metric"):
            if getattr(other, field) != getattr(metrics, field):
                raise InputError(
                    "only scores of the same task can stand in one figure",
                    file=folder / METRICS,
                    field=field,
                    value=getattr(other, field),
                    accepted=getattr(metrics, field),
                )
        compared.append(other.scores)
    return Facts(design, board, metrics, read_outcome(design), vitis, tuple(compared))


def _metrics(folder: Path) -> Metrics:
    path = folder / METRICS
    if not path.is_file():
        raise InputError(f"no {METRICS} here", file=folder, accepted="a finished run, or a design")
    if (folder / DESIGN).is_file():
        check_files(folder, {METRICS: read_document(folder).files[METRICS]}, DESIGN)
    content = check(read_json(path), dict[str, Any], path)
    if CHECKSUM in content:  # a run's
        check_sealed(content, path, "the file as codesign wrote it")
    return check(content, Metrics, path)
