"""From an integer encoder's constants to what hardware is made of: images of matrices and constants, the program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from codesign.hardware.accelerator import WeightMemory
from codesign.hardware.memories import ceil_div
from codesign.packing.blocks import PackedMatrix
from codesign.packing.images import EngineMatrix, ImageSet, make_images
from codesign.program.compile import compile_encoder
from codesign.program.constants import gain_words, head_words, norm_words, row_places
from codesign.program.device import Encoder
from codesign.program.layout import Layout

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
    """
    matrices = []
    for number, (matrix, memory) in enumerate(zip(packed, memories, strict=True)):
        layer, part = divmod(number, len(PARTS))
        prefix = f"layers.{layer}.{PARTS[part]}"
        features = matrix.out_features
        tables = constants[f"layers.{layer}.activation.tables"] if PARTS[part] == "ffn_in" else None
        which = np.zeros(features, np.int64) if tables is None else constants[f"layers.{layer}.activation.which"]
        channels = (*(constants[f"{prefix}.{name}"] for name in ("bias", "multiplier", "shift")), which)
        places = row_places(layout, PARTS[part])
        matrices.append(EngineMatrix(prefix, matrix, memory, channels, tables, places))

    def every(path: str) -> list[NDArray[np.int64]]:
        return [constants[f"layers.{layer}.{path}"] for layer in range(layers)]

    norms = [f"layers.{layer}.{part}" for layer in range(layers) for part in ("attention_norm", "ffn_norm")]
    more = {
        "channels": head_words(
            layout, np.stack(every("attention.score_multiplier")), np.stack(every("attention.score_shift"))
        ),
        "gains": gain_words(
            layout, [(constants[f"{norm}.residual_gain"], constants[f"{norm}.added_gain"]) for norm in norms]
        ),
        "norms": norm_words(layout, [(constants[f"{norm}.gain"], constants[f"{norm}.offset"]) for norm in norms]),
    }
    a = layout.accelerator
    on_chip = [m for m in matrices if m.memory is not WeightMemory.DDR]
    rows = sum(ceil_div(m.packed.out_features, a.rows) * a.requant_interval for m in on_chip)
    encoder = Encoder(
        layout,
        compile_encoder(layout, layers),
        np.stack(every("attention.mean_numerator")),
        np.stack(every("attention.mean_shift")),
        tuple(int(constants[f"{norm}.epsilon"].item()) for norm in norms),
        int(constants[f"{norms[0]}.shift"].item()),
        rows,
    )
    return encoder, make_images(a, matrices, more)
