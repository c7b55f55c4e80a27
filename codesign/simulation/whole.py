"""A design's own sentences whole through the simulated engine: attention, softmax and LayerNorm beside the matrices.

The array is the design's; a vector unit and an encoder's buffers stand around it, which its plan does not count yet.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging as transformers_logging

from codesign.boards import Board
from codesign.design.content import Design, unpacked_constants
from codesign.design.document import SENTENCES
from codesign.errors import InputError
from codesign.hardware.accelerator import Accelerator
from codesign.hardware.timeline import LATENCY, external_memory
from codesign.models import EncoderShape
from codesign.program.build import build_encoder
from codesign.program.layout import Layout
from codesign.quantisation.classifier import IntegerClassifier
from codesign.quantisation.load import load_encoder
from codesign.simulation.engine import Stage, silent
from codesign.simulation.outcome import EncoderOutcome, SentenceRecord, StepRecord
from codesign.simulation.sentences import SentenceRun, simulate_sentences

_LEAST_ROWS = 4
"""Features at a time of the vector unit, where the array's columns allow: LayerNorm then takes a few per cent."""


def with_vector_unit(accelerator: Accelerator, shape: EncoderShape, tokens: int) -> Accelerator:
    """The array with a vector unit, for sentences of so many tokens.

    Results leave the array in as many rows at a time as keep its blocks of scores from waiting, if so many divide its
    columns and a head's features.

    Raises:
        InputError: The heads do not fit the array.
    """
    a, head = accelerator, shape.hidden // shape.heads
    fitting = [d for d in range(1, a.rows + 1) if not (a.rows % d or a.cols % d or head % d)]
    columns = -(-head // a.cols)
    drained = next((d for d in fitting if a.rows // d <= columns), fitting[-1])
    multiples = [v for v in range(drained, a.cols + 1, drained) if a.cols % v == 0]
    rows = next((v for v in multiples if v >= _LEAST_ROWS), multiples[-1])
    return replace(
        a,
        requant_interval=a.rows // drained,
        vector_width=rows * a.lanes,
        dsp_packing=min(a.dsp_packing, 2),
        max_tokens=tokens,
    )


def simulate_whole(
    design: Design,
    board: Board,
    work: Path,
    *,
    latency: int = LATENCY,
    waves: bool = False,
    stage: Stage = silent,
) -> EncoderOutcome:
    """Run every sentence of a design whole, at its own length; compare every bit of every step, and every cycle.

    Args:
        design: The design folder.
        board: Its board.
        work: Folder for simulators.
        latency: Of external memory, in cycles; its rate is the board's.
        waves: Write a waveform, of the last sentence.
        stage: Shows what is going on while it does.

    Raises:
        InputError: The heads do not fit the array, or the simulation failed.
    """
    document = design.document
    shape, layers = document.shape, document.layers
    accelerator = with_vector_unit(document.accelerator, shape, document.tokens)
    layout = Layout(accelerator, shape.hidden, shape.ffn, shape.heads)
    constants = {
        name: values.astype(np.int64)
        for name, values in unpacked_constants(design).items()
        if values.dtype.kind == "i"
    }
    packed = [design.packed(layer) for layer in layers]
    encoder, images = build_encoder(
        layout, shape.layers, constants, packed, [layer.weight_memory for layer in layers]
    )
    model = load_encoder(design)
    records: list[SentenceRecord] = []
    steps: tuple[StepRecord, ...] = ()
    for sentence in embeddings(design):
        run = SentenceRun(
            encoder,
            board.device.dsp_type,
            images,
            packed,
            model,
            sentence[None],
            memory=external_memory(accelerator, board, latency),
        )
        with stage(f"a sentence of {sentence.shape[1]} tokens through the whole encoder"):
            found = simulate_sentences(run, work, waves=waves)
        records.append(
            SentenceRecord(
                sentence.shape[1],
                found.predicted_cycles,
                found.counted_cycles,
                found.outputs.size + sum(step.outputs for step in found.steps),
                sum(found.mismatches) + sum(step.mismatches for step in found.steps),
                sum(step.predicted != step.counted for step in found.steps),
                found.seconds,
            )
        )
        if not steps:
            steps = tuple(
                StepRecord(
                    step.name,
                    step.kind.value,
                    step.predicted.begun,
                    step.predicted.ended,
                    step.counted.begun,
                    step.counted.ended,
                    step.outputs,
                    step.mismatches,
                )
                for step in found.steps
            )
    return EncoderOutcome(
        accelerator.vector_width, accelerator.requant_interval, accelerator.clock_mhz, tuple(records), steps
    )


def embeddings(design: Design) -> list[NDArray[np.int8]]:
    """The embeddings of a design's own sentences, features × tokens each, padding left out.

    Raises:
        InputError: The design has no sentences.
    """
    path = design.folder / SENTENCES
    if SENTENCES not in design.document.files:
        raise InputError("not in this design", file=path, accepted="a design of codesign quantize of now")
    batch = {name: torch.from_numpy(part) for name, part in load_file(path).items()}
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model = AutoModelForSequenceClassification.from_pretrained(design.folder).eval()
    first, last = (torch.from_numpy(design.constants[f"scales.{name}"]) for name in ("embedding", "output"))
    encoder = load_encoder(design)
    classifier = IntegerClassifier(model, design.document.shape, encoder, (first, *[last] * len(encoder.layers)))
    found = classifier.embedded(batch)
    return [
        np.ascontiguousarray(row[mask.bool()].T.to(torch.int8).numpy())
        for row, mask in zip(found, batch["attention_mask"], strict=True)
    ]
