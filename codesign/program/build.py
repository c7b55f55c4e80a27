"""From an integer encoder's constants to what hardware is made of: images of matrices and constants, the program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from codesign.errors import InputError
from codesign.hardware.accelerator import WeightMemory
from codesign.hardware.memories import ceil_div
from codesign.packing.blocks import PackedMatrix
from codesign.packing.images import EngineMatrix, ImageSet, make_images
from codesign.packing.part import empty_columns, features_of, with_rows
from codesign.program.compile import compile_encoder
from codesign.program.constants import gain_words, head_words, norm_words, place_bits, row_places
from codesign.program.device import Encoder
from codesign.program.layout import Layout
from codesign.program.unread import needed

PARTS = ("query", "key", "value", "attention_output", "ffn_in", "ffn_out")

Constants = Mapping[str, NDArray[np.int64]]
"""Every constant of the integer model by its path, such as ``layers.0.attention_norm.gain``, but for weights."""


def build_encoder(
    layout: Layout,
    layers: int,
    constants: Constants,
    packed: Sequence[PackedMatrix],
    memories: Sequence[WeightMemory],
) -> tuple[Encoder, ImageSet]:
    """The program and the images of an encoder.

    Args:
        layout: Sizes.
        layers: Of the encoder.
        constants: Of the integer model.
        packed: Every matrix, six a layer.
        memories: Where each lies.

    Raises:
        InputError: LayerNorms have different shifts.
    """
    matrices, a = [], layout.accelerator
    run = needed(layout, [m.row_blocks.tolist() for m in packed], [empty_columns(m) for m in packed])
    for number, (matrix, memory, rows) in enumerate(zip(packed, memories, run.rows, strict=True)):
        layer, part = divmod(number, len(PARTS))
        prefix = f"layers.{layer}.{PARTS[part]}"
        features = matrix.out_features
        tables = constants[f"layers.{layer}.activation.tables"] if PARTS[part] == "ffn_in" else None
        which = np.zeros(features, np.int64) if tables is None else constants[f"layers.{layer}.activation.which"]
        channels = (*(constants[f"{prefix}.{name}"] for name in ("bias", "multiplier", "shift")), which)
        outputs = features_of(rows, a.rows, features)
        # Q words of each block row.
        places = row_places(layout, PARTS[part]).reshape(-1, a.requant_interval, place_bits(layout).total)
        matrices.append(
            EngineMatrix(
                prefix,
                with_rows(matrix, rows),
                memory,
                tuple(values[outputs] for values in channels),
                tables,
                places[list(rows)].reshape(-1, places.shape[2]),
            )
        )

    def every(path: str) -> list[NDArray[np.int64]]:
        return [constants[f"layers.{layer}.{path}"] for layer in range(layers)]

    norms = [f"layers.{layer}.{part}" for layer in range(layers) for part in ("attention_norm", "ffn_norm")]
    shifts = [int(constants[f"{norm}.shift"].item()) for norm in norms]
    if len(set(shifts)) > 1:
        other = next(number for number, shift in enumerate(shifts) if shift != shifts[0])
        raise InputError(
            "the engine has one shift for all LayerNorms",
            field=f"{norms[other]}.shift",
            value=shifts[other],
            accepted=f"{shifts[0]}, as in {norms[0]}",
        )
    more = {
        "channels": head_words(
            layout, np.stack(every("attention.score_multiplier")), np.stack(every("attention.score_shift"))
        ),
        "gains": gain_words(
            layout, [(constants[f"{norm}.residual_gain"], constants[f"{norm}.added_gain"]) for norm in norms]
        ),
        "norms": norm_words(layout, [(constants[f"{norm}.gain"], constants[f"{norm}.offset"]) for norm in norms]),
    }
    on_chip = [m for m in matrices if m.memory is not WeightMemory.DDR]
    channels_before = sum(ceil_div(m.packed.out_features, a.rows) * a.requant_interval for m in on_chip)
    encoder = Encoder(
        layout,
        compile_encoder(layout, layers, run),
        np.stack(every("attention.mean_numerator")),
        np.stack(every("attention.mean_shift")),
        tuple(int(constants[f"{norm}.epsilon"].item()) for norm in norms),
        shifts[0],
        channels_before,
    )
    return encoder, make_images(a, matrices, more)
