"""A whole design in simulation: all matrices one after another, on the activations of real sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from codesign.boards import Board
from codesign.design.folder import Design
from codesign.errors import InputError
from codesign.files import to_json, write_text
from codesign.hardware.accelerator import WeightMemory
from codesign.hardware.cycles import utilisation
from codesign.hardware.images import beat_bits
from codesign.hardware.timeline import LATENCY, external_memory
from codesign.simulation.engine import EngineRun, simulate
from codesign.simulation.hls import design_of, simulate_kernel
from codesign.simulation.trace import Traced

RESULT = "sim.json"
FORMAT = "codesign-sim-1"


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
        dense_cycles: The plan's, for the dense model on the same array, without the streams.
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
class DesignOutcome:
    """What simulation of a design gave; no external memory where the engine has no port to it."""

    layers: tuple[LayerOutcome, ...]
    total: TotalOutcome
    external_memory: MemoryOutcome | None = None

    @property
    def right(self) -> bool:
        """No bit and no cycle differs."""
        total = self.total
        exact = total.predicted_cycles == total.counted_cycles == total.clock_cycles
        return exact and not total.mismatches and not total.moments_off and self.kernel_right

    @property
    def kernel_right(self) -> bool:
        """No bit and no trip of the HLS kernel differs."""
        return not any(layer.hls_mismatches or layer.hls_trips != layer.hls_predicted_trips for layer in self.layers)


def simulate_design(
    design: Design,
    board: Board,
    traced: Mapping[str, Traced],
    work: Path,
    *,
    latency: int = LATENCY,
    waves: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> DesignOutcome:
    """Run every matrix of a design in the simulated engine and in the HLS kernel, and compare bits and cycles.

    Args:
        design: The design folder.
        board: Its board.
        traced: What every matrix gets and must give.
        work: Folder for simulators.
        latency: Of external memory, in cycles; its rate is the board's.
        waves: Write a waveform.
        say: Told what is going on.

    Raises:
        InputError: More tokens than the buffers hold, or the simulation failed.
    """
    accelerator, layers = design.document.accelerator, design.document.layers
    inputs = [traced[layer.key].activations for layer in layers]
    tokens = inputs[0].shape[1]
    if tokens > accelerator.max_tokens:
        raise InputError(
            "a batch has more tokens than the buffers hold, which simulation does not split up",
            file=design.folder,
            field="tokens",
            value=tokens,
            accepted=f"{accelerator.max_tokens} or fewer",
        )
    run = EngineRun(
        accelerator,
        board.device.dsp_type,
        design.images,
        [design.packed(layer) for layer in layers],
        inputs,
        memory=external_memory(accelerator, board, latency),
    )
    say(f"building and running {len(layers)} matrices of {tokens} tokens on {accelerator.shape}")
    found, predicted = simulate(run, work, waves=waves), run.predicted()
    say("the same matrices in the HLS kernel, compiled as C++")
    kernel = simulate_kernel(design_of(design, board, traced), work)
    outcomes = []
    for layer, result, want, have, hls in zip(
        layers, found.results, predicted, found.times, kernel.matrices, strict=True
    ):
        wanted = traced[layer.key].results
        cycles = have.written - have.begun
        outcomes.append(
            LayerOutcome(
                layer.name,
                layer.nonzero_blocks,
                want.written - want.begun,
                cycles,
                utilisation(accelerator, layer.nonzero_blocks, tokens, cycles),
                wanted.size,
                int((result != wanted).sum()),
                hls.mismatches,
                hls.trips,
                hls.predicted_trips,
            )
        )
    moments = [
        (a, b)
        for w, h in zip(predicted, found.times, strict=True)
        for a, b in zip(vars(w).values(), vars(h).values(), strict=True)
    ]
    macs = sum(layer.nonzero_blocks for layer in layers) * accelerator.block_area * tokens
    total = TotalOutcome(
        predicted[-1].sent,
        found.cycles,
        found.clock,
        design.document.predicted.dense_cycles,
        dict(zip(("weights", "activations", "results"), found.stalls, strict=True)),
        sum(outcome.mismatches for outcome in outcomes),
        sum(a != b for a, b in moments),
        sum(outcome.hls_mismatches for outcome in outcomes),
        macs / found.seconds,
        found.seconds,
        kernel.seconds,
    )
    memory = None
    if accelerator.axi_ports:
        memory = MemoryOutcome(
            sum(layer.weight_memory is WeightMemory.DDR for layer in layers),
            latency,
            float(run.memory.rate * beat_bits(accelerator) / 8),
            accelerator.axi_ports,
            accelerator.axi_port_bits,
        )
    return DesignOutcome(tuple(outcomes), total, memory)


def write_outcome(outcome: DesignOutcome, design: Design) -> Path:
    """Write sim.json into the design folder."""
    path = design.folder / RESULT
    document = {
        "format": FORMAT,
        "board": design.document.board,
        "model": design.document.model,
        "tokens": design.document.tokens,
        "batch": design.document.batch,
        **asdict(outcome),
    }
    write_text(path, to_json(document))
    return path
