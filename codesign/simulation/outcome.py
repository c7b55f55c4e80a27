"""What simulation of a design gave, and its file: sim.json in the design folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codesign.design.content import Design
from codesign.errors import InputError
from codesign.files import check, read_json, to_json
from codesign.outputs import write_guest

RESULT = "sim.json"
FORMAT = "codesign-sim-2"
_AGAIN = "run codesign simulate again, or delete the file"


@dataclass(frozen=True)
class LayerOutcome:
    """One matrix in simulation.

    Attributes:
        name: As in the plan.
        nonzero_blocks: Kept blocks.
        predicted_cycles: Of the hardware model, from its first block's entry to its last result.
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
    """All matrices.

    Attributes:
        predicted_cycles: Of the hardware model, from the start to the last result's last beat.
        counted_cycles: The same by the engine's counter.
        clock_cycles: The same by the simulator's clock.
        dense_cycles: Of the hardware model, for the dense model on the same array, from start to last beat too.
        stall_cycles: Cycles that the array waited for weights, activations and room for results.
        mismatches: Results that differ.
        moments_off: Times at which a phase of a matrix began or ended otherwise than predicted.
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
        seconds: Of simulation.
    """

    tokens: int
    predicted_cycles: int
    counted_cycles: int
    outputs: int
    mismatches: int
    moments_off: int
    seconds: float

    @property
    def right(self) -> bool:
        """No bit and no cycle differs."""
        return not self.mismatches and not self.moments_off and self.predicted_cycles == self.counted_cycles


@dataclass(frozen=True)
class StepRecord:
    """One step of the first sentence: when it began and ended, predicted and counted, and what was compared."""

    name: str
    kind: str
    predicted_begin: int
    predicted_end: int
    counted_begin: int
    counted_end: int
    outputs: int
    mismatches: int


@dataclass(frozen=True)
class EncoderOutcome:
    """Whole sentences in simulation.

    Attributes:
        vector_width: Elements per cycle of the vector unit that was put beside the array.
        requant_interval: Q of that engine.
        clock_mhz: For milliseconds.
        sentences: Each.
        steps: Of the first.
    """

    vector_width: int
    requant_interval: int
    clock_mhz: float
    sentences: tuple[SentenceRecord, ...]
    steps: tuple[StepRecord, ...]

    @property
    def right(self) -> bool:
        """No bit and no cycle of any sentence differs."""
        return all(sentence.right for sentence in self.sentences)


@dataclass(frozen=True)
class DesignOutcome:
    """What simulation of a design gave; no external memory where the engine has no port to it.

    ``encoder``: whole sentences, where they were asked for.
    """

    layers: tuple[LayerOutcome, ...]
    total: TotalOutcome
    external_memory: MemoryOutcome | None = None
    encoder: EncoderOutcome | None = None

    @property
    def right(self) -> bool:
        """No bit and no cycle differs."""
        total = self.total
        exact = total.predicted_cycles == total.counted_cycles == total.clock_cycles
        whole = self.encoder is None or self.encoder.right
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
    return write_guest(folder or design.folder, RESULT, to_json(document).encode())


def read_outcome(design: Design) -> DesignOutcome | None:
    """sim.json of a design folder; None where it has not been simulated.

    Raises:
        InputError: The file cannot be read, or is of another design.
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
    if content.get("design") != design.document.checksum:
        raise InputError(
            "results of another design than the one that is here now",
            file=path,
            field="design",
            value=content.get("design"),
            accepted=f"{design.document.checksum}: {_AGAIN}",
        )
    parts = {name: content.get(name) for name in ("layers", "total", "external_memory", "encoder")}
    outcome = check(parts, DesignOutcome, path)
    simulated = [(layer.name, layer.nonzero_blocks) for layer in outcome.layers]
    if simulated != [(layer.name, layer.nonzero_blocks) for layer in design.document.layers]:
        raise InputError("other matrices or blocks than design.yaml has", file=path, accepted=_AGAIN)
    return outcome
