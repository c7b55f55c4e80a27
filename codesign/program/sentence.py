"""Whole sentences on a design: what is predicted of plans, of pruned models and of design folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from codesign.boards import Board
from codesign.hardware.accelerator import Accelerator
from codesign.hardware.predict import predict, sparsify
from codesign.hardware.run import RunMatrix, evenly, jobs
from codesign.hardware.timeline import LATENCY, external_memory
from codesign.models import EncoderShape
from codesign.program.compile import compile_encoder
from codesign.program.constants import place_bits
from codesign.program.estimate import beside, layout_of
from codesign.program.layout import Layout
from codesign.program.steps import Program
from codesign.program.timeline import MatrixBlocks, SentenceTimes, StepTimes, encoder_times
from codesign.program.unread import Needed, needed


def sentence_times(
    accelerator: Accelerator,
    board: Board,
    shape: EncoderShape,
    matrices: Sequence[RunMatrix],
    tokens: int,
    sentences: int = 1,
    latency: int = LATENCY,
) -> tuple[Program, SentenceTimes]:
    """The program of an encoder and the times of its steps.

    Args:
        accelerator: The array.
        board: With its external memory.
        shape: The encoder.
        matrices: Six of each layer, in order.
        tokens: Of a sentence, at most ``max_tokens``.
        sentences: One after another.
        latency: Of external memory, in cycles.

    Raises:
        InputError: The array does not fit the encoder's heads.
    """
    layout, run, program = _compiled(accelerator, shape, matrices)
    left = [
        replace(matrix, row_blocks=tuple(matrix.row_blocks[row] for row in rows))
        for matrix, rows in zip(matrices, run.rows, strict=True)
    ]
    found = [MatrixBlocks(job.row_blocks, job.external) for job in jobs(accelerator, left, place_bits(layout).total)]
    memory = external_memory(accelerator, board, latency)
    times = encoder_times(layout, program, found, board.device.dsp_type, tokens, sentences, memory=memory)
    return program, times


def program_of(accelerator: Accelerator, shape: EncoderShape, matrices: Sequence[RunMatrix]) -> Program:
    """The program of an encoder with these matrices, six of each layer.

    Raises:
        InputError: The array does not fit the encoder's heads.
    """
    return _compiled(accelerator, shape, matrices)[2]


def _compiled(
    accelerator: Accelerator, shape: EncoderShape, matrices: Sequence[RunMatrix]
) -> tuple[Layout, Needed, Program]:
    layout = layout_of(accelerator, shape)
    run = needed_of(layout, matrices)
    return layout, run, compile_encoder(layout, shape.layers, run)


def needed_of(layout: Layout, matrices: Sequence[RunMatrix]) -> Needed:
    """What of an encoder is computed."""
    return needed(layout, [matrix.row_blocks for matrix in matrices], [matrix.unread for matrix in matrices])


def matrix_times(program: Program, times: SentenceTimes) -> list[StepTimes]:
    """Times of every matrix in the first sentence, by their numbers: K comes before Q in the program."""
    steps = zip(program.array, times.array, strict=False)
    found = {step.matrix: time for step, time in steps if step.matrix is not None}
    return [found[number] for number in range(len(found))]


def sentence_cycles(
    accelerator: Accelerator,
    board: Board,
    shape: EncoderShape,
    matrices: Sequence[RunMatrix],
    tokens: int,
    sentences: int = 1,
    latency: int = LATENCY,
) -> int:
    """Cycles from start to last output; arguments as of ``sentence_times``."""
    return sentence_times(accelerator, board, shape, matrices, tokens, sentences, latency)[1].cycles


def dense_sentence_cycles(
    accelerator: Accelerator,
    board: Board,
    shape: EncoderShape,
    tokens: int,
    sentences: int = 1,
    latency: int = LATENCY,
) -> int:
    """The same with nothing pruned, on the same array, weights placed as they then fit."""
    around = beside(accelerator, shape)
    dense = predict(accelerator, board, sparsify(accelerator, shape.matrices(), 1.0), tokens, around)
    return sentence_cycles(accelerator, board, shape, evenly(dense), tokens, sentences, latency)
