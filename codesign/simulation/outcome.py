"""What simulation of a design gave, and its file: sim.json in the design folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from codesign.checksums import check_sealed, sealed
from codesign.design.content import Design
from codesign.errors import InputError
from codesign.files import check, read_json, to_json
from codesign.outputs import write_guest

RESULT = "sim.json"
FORMAT = "codesign-sim-3"
_AGAIN = "run codesign simulate again, or delete the file"


@dataclass(frozen=True)
class LayerOutcome:
    """One matrix in simulation: in the first sentence, and in the HLS kernel.

    Attributes:
        name: As in the plan.
        nonzero_blocks: Kept blocks.
        predicted_cycles: Of the hardware model, from its first block's entry to the end of what its results go into.
        counted_cycles: The same in simulation.
        utilisation: Useful multiply-accumulates ÷ (R·C·L · counted cycles).
        outputs: Results compared.
        mismatches: Of these, how many differ from the integer model's.
        hls_mismatches: Of the HLS kernel's results, how many differ from the integer model's.
        hls_trips: Of the HLS kernel's pipelined loop, as it counted them.
        hls_predicted_trips: The same of the hardware model.
    """

    name: str
    nonzero_blocks: int
    predicted_cycles: int
    counted_cycles: int
    utilisation: float
    outputs: int
    mismatches: int
    hls_mismatches: int
    hls_trips: int
    hls_predicted_trips: int


@dataclass(frozen=True)
class TotalOutcome:
    """All of the design's own sentences, each by itself.

    Attributes:
        predicted_cycles: Of the hardware model, from start to last beat.
        counted_cycles: The same by the engine's counter.
        clock_cycles: The same by the simulator's clock.
        dense_cycles: Of the hardware model, for the dense model on the same array, from start to last beat too.
        stall_cycles: Cycles that the array waited for weights, activations and room for results.
        utilisation: Useful multiply-accumulates, attention's included, ÷ (R·C·L · counted cycles).
        mismatches: Results of any step that differ.
        moments_off: Times at which a step began or ended otherwise than predicted.
        hls_mismatches: The HLS kernel's results that differ.
        macs_per_second: Useful multiply-accumulates per second of simulation.
        seconds: Of simulation, without building.
        hls_seconds: Of the HLS kernel's C simulation.
    """

    predicted_cycles: int
    counted_cycles: int
    clock_cycles: int
    dense_cycles: int
    stall_cycles: Mapping[str, int]
    utilisation: float
    mismatches: int
    moments_off: int
    hls_mismatches: int
    macs_per_second: float
    seconds: float
    hls_seconds: float


@dataclass(frozen=True)
class MemoryOutcome:
    """The external memory that was simulated.

    Attributes:
        matrices: Whose weights it holds.
        latency_cycles: From a burst's request to its first beat.
        bytes_per_cycle: Of all ports together: the slower of the board's rate and the ports' width.
        ports, port_bits: Through which it is read.
    """

    matrices: int
    latency_cycles: int
    bytes_per_cycle: float
    ports: int
    port_bits: int


@dataclass(frozen=True)
class SentenceRecord:
    """One sentence, whole.

    Attributes:
        tokens: Its length.
        predicted_cycles, counted_cycles: From start to last beat.
        outputs: Results of all steps that were compared.
        mismatches: Of these, how many differ from the integer model's.
        moments_off: Steps that begin or end at other cycles than predicted.
        label: Class, or value, by what the hardware gave.
        integer_label: The same by the integer model.
        seconds: Of simulation.
    """

    tokens: int
    predicted_cycles: int
    counted_cycles: int
    outputs: int
    mismatches: int
    moments_off: int
    label: str
    integer_label: str
    seconds: float

    @property
    def right(self) -> bool:
        """No bit and no cycle differs."""
        exact = not self.moments_off and self.predicted_cycles == self.counted_cycles
        return exact and not self.mismatches and self.label == self.integer_label


@dataclass(frozen=True)
class StepRecord:
    """One step of the first sentence: when it began and ended, predicted and counted, and what was compared."""

    name: str
    kind: str
    predicted_begin: int
    predicted_end: int
    predicted_cycles: int
    counted_begin: int
    counted_end: int
    counted_cycles: int
    outputs: int
    mismatches: int


@dataclass(frozen=True)
class ScoreRecord:
    """A task's split through the simulated hardware.

    Attributes:
        split: Its name.
        metric: The task's first.
        value: In points, of what the hardware gave.
        integer: The same of the integer model.
        sentences: How many.
        otherwise: Of these, how many the hardware decides otherwise than the integer model.
        predicted_cycles, counted_cycles: Of all of them.
        outputs: Of the last layer, that were compared.
        mismatches: Of these, how many differ.
        moments_off: Steps that begin or end at other cycles than predicted.
        seconds: Wall time, of simulation and comparison.
        jobs: At a time.
    """

    split: str
    metric: str
    value: float
    integer: float
    sentences: int
    otherwise: int
    predicted_cycles: int
    counted_cycles: int
    outputs: int
    mismatches: int
    moments_off: int
    seconds: float
    jobs: int

    @property
    def right(self) -> bool:
        """No bit, no cycle and no decision differs."""
        exact = not self.moments_off and self.predicted_cycles == self.counted_cycles
        return exact and not self.mismatches and not self.otherwise and self.value == self.integer


@dataclass(frozen=True)
class DesignOutcome:
    """What simulation of a design gave.

    Attributes:
        sentences: The design's own, each.
        steps: Of the first.
        layers: The matrices.
        total: All of it.
        external_memory: None where the engine has no port to it.
        score: Of a task's split, where one was asked for.
    """

    sentences: tuple[SentenceRecord, ...]
    steps: tuple[StepRecord, ...]
    layers: tuple[LayerOutcome, ...]
    total: TotalOutcome
    external_memory: MemoryOutcome | None = None
    score: ScoreRecord | None = None

    @property
    def right(self) -> bool:
        """No bit and no cycle differs."""
        total = self.total
        exact = total.predicted_cycles == total.counted_cycles == total.clock_cycles
        whole = all(sentence.right for sentence in self.sentences) and (self.score is None or self.score.right)
        return exact and not total.mismatches and not total.moments_off and self.kernel_right and whole

    @property
    def kernel_right(self) -> bool:
        """No bit and no trip of the HLS kernel differs."""
        return not any(layer.hls_mismatches or layer.hls_trips != layer.hls_predicted_trips for layer in self.layers)


def write_outcome(outcome: DesignOutcome, design: Design, folder: Path | None = None) -> Path:
    """Write sim.json, into the design folder unless another is given.

    Raises:
        InputError: There is a file of that name that is no such result, or it cannot be written.
    """
    document = {
        "format": FORMAT,
        "design": design.document.checksum,
        "board": design.document.board,
        "model": design.document.model,
        "tokens": design.document.tokens,
        "batch": design.document.batch,
        **asdict(outcome),
    }
    # As text and back: what is hashed is what will be read, tuples as lists and numbers as JSON writes them.
    plain = json.loads(to_json(document))
    return write_guest(folder or design.folder, RESULT, to_json(sealed(plain)).encode())


def read_outcome(design: Design) -> DesignOutcome | None:
    """sim.json of a design folder; None where it has not been simulated.

    Raises:
        InputError: The file cannot be read, has been changed, or is of another design.
    """
    path = design.folder / RESULT
    if not path.is_file():
        return None
    content = check(read_json(path), dict[str, Any], path)
    if content.get("format") != FORMAT:
        raise InputError(
            "results of another format version",
            file=path,
            field="format",
            value=content.get("format"),
            accepted=f"{FORMAT}: {_AGAIN}",
        )
    check_sealed(content, path, _AGAIN)
    if content.get("design") != design.document.checksum:
        raise InputError(
            "results of another design than the one that is here now",
            file=path,
            field="design",
            value=content.get("design"),
            accepted=f"{design.document.checksum}: {_AGAIN}",
        )
    parts = {name: content.get(name) for name in (field.name for field in fields(DesignOutcome))}
    outcome = check(parts, DesignOutcome, path)
    simulated = [(layer.name, layer.nonzero_blocks) for layer in outcome.layers]
    if simulated != [(layer.name, layer.nonzero_blocks) for layer in design.document.layers]:
        raise InputError("other matrices or blocks than design.yaml has", file=path, accepted=_AGAIN)
    return outcome
