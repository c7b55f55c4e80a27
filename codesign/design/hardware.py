"""A design on its board: whether it is the board that it was made for, and what the hardware model says of it."""

from __future__ import annotations

from collections.abc import Mapping

from codesign.boards import Board, DspType, board_of
from codesign.design.content import Design
from codesign.design.document import DESIGN
from codesign.errors import InputError
from codesign.hardware.accelerator import WeightMemory, pruned_matrix
from codesign.hardware.cycles import matrix_cycles
from codesign.hardware.resources import (
    Placed,
    Resources,
    buffer_resources,
    engine_resources,
    merged,
    total,
    weight_resources,
)
from codesign.models import Matrix
from codesign.packing.blocks import kept_blocks

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
    rows, cols = design.document.accelerator.block
    return tuple(
        Placed(
            pruned_matrix(
                Matrix(layer.name, layer.out_features, layer.in_features, layer.activation),
                rows,
                cols,
                kept_blocks(design.packed(layer)),
            ),
            layer.weight_memory,
            1,
        )
        for layer in design.document.layers
    )


def resources_by_module(design: Design, board: Board) -> Mapping[str, Resources]:
    """Resources by module of the engine."""
    a, dsp_type, placed = design.document.accelerator, board.device.dsp_type, placed_matrices(design)
    return merged(
        engine_resources(a, dsp_type, sum(layer.activation for layer in design.document.layers)),
        buffer_resources(a, dsp_type, [matrix.sparse for matrix in placed]),
        weight_resources(a, dsp_type, placed),
    )


def _check_prediction(design: Design, board: Board) -> None:
    """Whether what design.yaml predicts is what the hardware model says of its own array and matrices.

    Not what rests on the board's memory or on fitted coefficients, which may have been mended since.
    """
    document = design.document
    a, tokens = document.accelerator, document.tokens * document.batch

    def same(field: str, said: object, found: object) -> None:
        if said != found:
            raise InputError(
                f"contradicts the accelerator, of which the hardware model says {found}",
                file=design.folder / DESIGN, field=field, value=said, accepted="what codesign quantize wrote",
            )  # fmt: skip

    counted = total(resources_by_module(design, board))
    for name in _EXACT:
        same(f"predicted.resources.{name}", getattr(document.predicted.resources, name), getattr(counted, name))
    if a.max_tokens < min(document.tokens, tokens):  # activations cross external memory
        return
    for layer, placed in zip(document.layers, placed_matrices(design), strict=True):
        if layer.weight_memory is not WeightMemory.DDR:
            cycles = matrix_cycles(
                a, board.device.dsp_type, placed.sparse, tokens, layer.weight_memory, board.read_bytes_per_second
            )
            same(f"layers.{layer.name}.predicted_cycles", layer.predicted_cycles, cycles)
