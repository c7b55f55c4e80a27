"""A design on its board: whether it is the board that it was made for, and what the hardware model says of it."""

from __future__ import annotations

from collections.abc import Mapping

from codesign.boards import Board, DspType, board_of
from codesign.design.content import Design
from codesign.design.document import DESIGN
from codesign.errors import InputError
from codesign.hardware.accelerator import WeightMemory, sparse_matrix
from codesign.hardware.resources import Placed, Resources, fixed_resources, merged, total, weight_resources
from codesign.hardware.run import RunMatrix, run_times
from codesign.hardware.timeline import LATENCY
from codesign.models import Matrix
from codesign.program.estimate import layout_of
from codesign.program.resources import encoder_resources, encoder_sizes
from codesign.program.sentence import matrix_times, needed_of, sentence_times
from codesign.program.steps import Program
from codesign.program.timeline import SentenceTimes

_DSP_OF_FAMILY = {"xc7": DspType.DSP48E1, "xczu": DspType.DSP48E2, "xck": DspType.DSP48E2, "xcu": DspType.DSP48E2}
"""DSPs by how a part's name begins."""
_EXACT = ("dsp", "bram18", "uram")
"""Resources that follow from a design alone, without fitted coefficients."""


def board_of_design(design: Design, given: str | None = None) -> Board:
    """A design's board, as given or by name, with what the design says of itself checked against the hardware model.

    Raises:
        InputError: The board is not to be had or another one, or the design contradicts itself.
    """
    board = board_of(design.document.board, given, design.folder / DESIGN)
    check_board(design.document.board, design.document.part, board)
    _check_prediction(design, board)
    return board


def check_board(name: str, part: str, board: Board) -> None:
    """Whether a board is the one that a design was made for.

    Args:
        name: The design's board.
        part: Its part.
        board: What is given.

    Raises:
        InputError: It is another board, has another part, or not the DSPs that this part has.
    """
    dsp_type = next((dsp for begin, dsp in _DSP_OF_FAMILY.items() if part.startswith(begin)), board.device.dsp_type)
    if board.device.dsp_type is not dsp_type:
        raise InputError(
            f"the design is for {name}, whose {part} has other DSPs than {board.name}",
            field="device.dsp_type",
            value=board.device.dsp_type.value,
            accepted=dsp_type.value,
        )
    if board.name != name:
        raise InputError("the design is for another board", field="--board", value=board.name, accepted=name)
    if board.part != part:
        raise InputError("the design is for another part", field="part", value=board.part, accepted=part)


def placed_matrices(design: Design) -> tuple[Placed, ...]:
    """The matrices with their masks, where design.yaml says that they lie."""
    document = design.document
    rows, cols = document.accelerator.block
    matrices = design.matrices()
    run = needed_of(layout_of(document.accelerator, document.shape), matrices)
    return tuple(
        Placed(
            sparse_matrix(
                Matrix(layer.name, layer.out_features, layer.in_features, layer.activation),
                rows,
                cols,
                matrix.row_blocks,
                of_rows,
            ),
            layer.weight_memory,
            1,
        )
        for layer, matrix, of_rows in zip(document.layers, matrices, run.rows, strict=True)
    )


def resources_by_module(design: Design, board: Board) -> Mapping[str, Resources]:
    """Resources by module of the engine."""
    document = design.document
    layout, shape = layout_of(document.accelerator, document.shape), document.shape
    unread = needed_of(layout, design.matrices()).unread(shape.heads)
    sizes = encoder_sizes(layout, shape.layers, unread)
    return encoder_resources(layout, board.device.dsp_type, sizes, placed_matrices(design))


def matrix_kernel(design: Design, board: Board) -> tuple[Resources, int]:
    """What the model says of the accelerator of matrices alone that ``codesign gen-hls`` makes of a design.

    Returns:
        Its resources, and the cycles of all matrices one after another, from start to last output.
    """
    a, dsp_type = design.document.matrix_engine, board.device.dsp_type
    placed, runs = [], []
    for layer in design.document.layers:
        packed = design.part(layer).packed
        matrix = Matrix(layer.name, packed.out_features, packed.in_features, layer.activation)
        rows = tuple(packed.row_blocks.tolist())
        placed.append(Placed(sparse_matrix(matrix, a.rows, a.cols, rows), layer.weight_memory, 1))
        runs.append(RunMatrix(packed.block_columns, rows, layer.weight_memory, layer.activation))
    tables = sum(layer.activation for layer in design.document.layers)
    parts = merged(
        fixed_resources(a, dsp_type, [one.sparse for one in placed], tables), weight_resources(a, dsp_type, placed)
    )
    return total(parts), run_times(a, board, runs, a.max_tokens)[-1].sent


def _check_prediction(design: Design, board: Board) -> None:
    """Whether what design.yaml predicts is what the hardware model says of its own array and matrices.

    Not what rests on the board's memory or on fitted coefficients, which may have been mended since.
    """
    document = design.document

    def same(field: str, said: object, found: object) -> None:
        if said != found:
            raise InputError(
                f"contradicts the accelerator, of which the hardware model says {found}",
                file=design.folder / DESIGN, field=field, value=said, accepted="what codesign quantize wrote",
            )  # fmt: skip

    counted = total(resources_by_module(design, board))
    for name in _EXACT:
        same(f"predicted.resources.{name}", getattr(document.predicted.resources, name), getattr(counted, name))
    if any(layer.weight_memory is WeightMemory.DDR for layer in document.layers):
        return
    program, times = design_times(design, board)
    for layer, time in zip(document.layers, matrix_times(program, times), strict=True):
        same(f"layers.{layer.name}.predicted_cycles", layer.predicted_cycles, time.ended - time.begun)
    same("predicted.cycles", document.predicted.cycles, times.cycles)


def design_times(
    design: Design, board: Board, latency: int = LATENCY, sentences: int | None = None
) -> tuple[Program, SentenceTimes]:
    """The steps of sentences of the full length, and their times by the hardware model.

    Args:
        design: The design folder.
        board: Its board.
        latency: Of external memory, in cycles.
        sentences: One after another; None: a batch.
    """
    d = design.document
    return sentence_times(d.accelerator, board, d.shape, design.matrices(), d.tokens, sentences or d.batch, latency)
