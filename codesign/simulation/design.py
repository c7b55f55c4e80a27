"""A design in simulation: its own sentences whole through the engine, its matrices through the HLS kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.numpy import load_file

from codesign.design.document import SENTENCES
from codesign.hardware.accelerator import WeightMemory
from codesign.hardware.cycles import utilisation
from codesign.hardware.images import beat_bits
from codesign.program.sentence import dense_sentence_cycles
from codesign.simulation.engine import Stage, silent
from codesign.simulation.hls import KernelMatrix, design_of, simulate_kernel
from codesign.simulation.outcome import (
    DesignOutcome,
    LayerOutcome,
    MemoryOutcome,
    SentenceRecord,
    StepRecord,
    TotalOutcome,
)
from codesign.simulation.sentences import SentenceOutcome, StepOutcome, prepare_sentences, simulate_sentences
from codesign.simulation.trace import Traced
from codesign.simulation.whole import Batch, WholeDesign


def simulate_design(
    whole: WholeDesign,
    traced: Mapping[str, Traced],
    work: Path,
    *,
    waves: bool = False,
    stage: Stage = silent,
) -> DesignOutcome:
    """Run every sentence of a design whole, at its own length, and its matrices in the HLS kernel; compare all.

    Args:
        whole: The design on its board.
        traced: What every matrix gets and must give, for the HLS kernel.
        work: Folder for simulators.
        waves: Write a waveform, of the last sentence.
        stage: Shows what is going on.

    Raises:
        InputError: A simulation failed.
    """
    design, board, accelerator = whole.design, whole.board, whole.design.document.accelerator
    batch = {name: torch.from_numpy(part) for name, part in load_file(design.folder / SENTENCES).items()}
    # A few sentences take less time than what a faster simulator takes to be compiled.
    simulator = prepare_sentences(whole.run, work, waves=waves, fast_build=True, stage=stage)
    found = []
    for sentence in whole.embeddings(batch):
        with stage(f"a sentence of {sentence.shape[1]} tokens through the whole encoder"):
            found.append(simulate_sentences(replace(whole.run, sentences=sentence[None]), simulator))
    with stage(f"the {len(design.document.layers)} matrices in the HLS kernel, compiled as C++"):
        kernel = simulate_kernel(design_of(design, board, traced), work)
    sentences = _records(whole, batch, found)
    total = TotalOutcome(
        sum(one.predicted_cycles for one in found),
        sum(one.counted_cycles for one in found),
        sum(one.clock_cycles for one in found),
        sum(
            dense_sentence_cycles(accelerator, board, design.document.shape, one.tokens, latency=whole.latency)
            for one in sentences
        ),
        {what: sum(getattr(one.stalls, what) for one in found) for what in ("weights", "activations", "results")},
        sum(_macs(whole, one.tokens) for one in sentences)
        / (accelerator.macs_per_cycle * sum(one.counted_cycles for one in found)),
        sum(one.mismatches for one in sentences),
        sum(one.moments_off for one in sentences),
        sum(matrix.mismatches for matrix in kernel.matrices),
        sum(_macs(whole, one.tokens) for one in sentences) / sum(one.seconds for one in found),
        sum(one.seconds for one in found),
        kernel.seconds,
    )
    memory = None
    if accelerator.axi_ports:
        memory = MemoryOutcome(
            sum(layer.weight_memory is WeightMemory.DDR for layer in design.document.layers),
            whole.latency,
            float(whole.run.memory.rate * beat_bits(accelerator) / 8),
            accelerator.axi_ports,
            accelerator.axi_port_bits,
        )
    layers = tuple(_layers(whole, found[0], kernel.matrices, sentences[0].tokens))
    return DesignOutcome(tuple(sentences), tuple(map(_step, found[0].steps)), layers, total, memory)


def _records(whole: WholeDesign, batch: Batch, found: Sequence[SentenceOutcome]) -> list[SentenceRecord]:
    labels = whole.labels(whole.logits(batch, [one.outputs[0] for one in found]))
    wanted = whole.labels(whole.classifier.logits(batch).numpy())
    return [
        SentenceRecord(
            one.outputs.shape[2],
            one.predicted_cycles,
            one.counted_cycles,
            one.outputs.size + sum(step.outputs for step in one.steps),
            sum(one.mismatches) + sum(step.mismatches for step in one.steps),
            one.moments_off,
            label,
            want,
            one.seconds,
        )
        for one, label, want in zip(found, labels, wanted, strict=True)
    ]


def _step(step: StepOutcome) -> StepRecord:
    predicted, counted = step.predicted, step.counted
    return StepRecord(
        step.name,
        step.kind.value,
        predicted.begun,
        predicted.ended,
        predicted.ended - predicted.begun,
        counted.begun,
        counted.ended,
        counted.ended - counted.begun,
        step.outputs,
        step.mismatches,
    )


def _layers(
    whole: WholeDesign, found: SentenceOutcome, kernel: Sequence[KernelMatrix], tokens: int
) -> Iterator[LayerOutcome]:
    """Every matrix, as it was in a sentence and in the kernel."""
    document = whole.design.document
    steps = {
        step.matrix: _step(outcome)
        for step, outcome in zip(whole.run.encoder.program.array, found.steps, strict=False)
        if step.matrix is not None
    }
    for number, (layer, hls) in enumerate(zip(document.layers, kernel, strict=True)):
        step = steps[number]
        yield LayerOutcome(
            layer.name,
            layer.nonzero_blocks,
            step.predicted_cycles,
            step.counted_cycles,
            utilisation(document.accelerator, layer.nonzero_blocks, tokens, step.counted_cycles),
            step.outputs,
            step.mismatches,
            hls.mismatches,
            hls.trips,
            hls.predicted_trips,
        )


def _macs(whole: WholeDesign, tokens: int) -> int:
    """Useful multiply-accumulates of a sentence: of kept blocks and of attention."""
    document = whole.design.document
    blocks = sum(layer.nonzero_blocks for layer in document.layers)
    return blocks * document.accelerator.block_area * tokens + document.shape.attention_macs(tokens)
