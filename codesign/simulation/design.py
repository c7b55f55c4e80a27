"""A whole design in simulation: all matrices one after another, on the activations of real sentences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from codesign.boards import Board
from codesign.design.content import Design
from codesign.hardware.accelerator import WeightMemory
from codesign.hardware.cycles import utilisation
from codesign.hardware.images import beat_bits
from codesign.hardware.run import dense_run_cycles
from codesign.hardware.timeline import LATENCY, external_memory
from codesign.models import Matrix
from codesign.simulation.engine import EngineRun, Stage, silent, simulate
from codesign.simulation.hls import design_of, simulate_kernel
from codesign.simulation.outcome import DesignOutcome, LayerOutcome, MemoryOutcome, TotalOutcome
from codesign.simulation.trace import Traced


def simulate_design(
    design: Design,
    board: Board,
    traced: Mapping[str, Traced],
    work: Path,
    *,
    latency: int = LATENCY,
    waves: bool = False,
    stage: Stage = silent,
) -> DesignOutcome:
    """Run every matrix of a design in the simulated engine and in the HLS kernel, and compare bits and cycles.

    Args:
        design: The design folder.
        board: Its board.
        traced: What every matrix gets and must give.
        work: Folder for simulators.
        latency: Of external memory, in cycles; its rate is the board's.
        waves: Write a waveform.
        stage: Shows what is going on while it does.

    Raises:
        InputError: The simulation failed.
    """
    accelerator, layers = design.document.matrix_engine, design.document.layers
    inputs = [traced[layer.key].read for layer in layers]
    tokens = inputs[0].shape[1]
    run = EngineRun(
        accelerator,
        board.device.dsp_type,
        design.images,
        [design.part(layer).packed for layer in layers],
        inputs,
        memory=external_memory(accelerator, board, latency),
    )
    found, predicted = simulate(run, work, waves=waves, stage=stage), run.predicted()
    with stage(f"the same {len(layers)} matrices in the HLS kernel, compiled as C++"):
        kernel = simulate_kernel(design_of(design, board, traced), work)
    outcomes = []
    for layer, result, want, have, hls in zip(
        layers, found.results, predicted, found.times, kernel.matrices, strict=True
    ):
        wanted = traced[layer.key].results
        whole = traced[layer.key].whole(result)
        cycles = have.written - have.begun
        outcomes.append(
            LayerOutcome(
                layer.name,
                layer.nonzero_blocks,
                want.written - want.begun,
                cycles,
                utilisation(accelerator, layer.nonzero_blocks, tokens, cycles),
                wanted.size,
                int((whole != wanted).sum()),
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
        dense_run_cycles(
            accelerator,
            board,
            [Matrix(layer.name, layer.out_features, layer.in_features, layer.activation) for layer in layers],
            tokens,
            latency=latency,
        ),
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
