"""What a design folder holds, and how matrices are packed there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.design.document import IMAGES, WEIGHTS, DesignDocument, DesignLayer
from codesign.errors import InputError
from codesign.hardware.run import RunMatrix, pruned
from codesign.packing.blocks import PackedMatrix, kept_blocks, unpack
from codesign.packing.images import EngineMatrix, ImageSet, read_images
from codesign.packing.part import Part, part_to_run
from codesign.program.document import PROGRAM, read_program
from codesign.program.steps import Program

Constants = Mapping[str, NDArray[Any]]
"""weights.safetensors by key: packed matrices, and every constant of the integer model."""


@dataclass(frozen=True)
class Design:
    """A design folder's content.

    Attributes:
        folder: Where it is.
        document: design.yaml.
        constants: weights.safetensors.
    """

    folder: Path
    document: DesignDocument
    constants: Constants

    def packed(self, layer: DesignLayer) -> PackedMatrix:
        """A matrix's kept blocks."""
        part = {name: self.constants[f"{layer.key}.weight.{name}"] for name in ("blocks", "columns", "row_blocks")}
        return PackedMatrix(layer.out_features, layer.in_features, **part)

    def part(self, layer: DesignLayer) -> Part:
        """What the engine runs of a matrix."""
        return part_to_run(self.packed(layer))

    def engine_matrix(self, layer: DesignLayer) -> EngineMatrix:
        """A matrix as the engine has it: block rows and block columns with blocks."""
        part = self.part(layer)
        channels = [
            self.constants[f"{layer.key}.{name}"].astype(np.int64)[part.outputs]
            for name in ("bias", "multiplier", "shift")
        ]
        tables = None
        which = np.zeros(len(part.outputs), np.int64)
        if layer.activation:
            prefix = layer.key.rpartition(".")[0]
            tables = self.constants[f"{prefix}.activation.tables"].astype(np.int64)
            which = self.constants[f"{prefix}.activation.which"].astype(np.int64)[part.outputs]
        return EngineMatrix(layer.name, part.packed, layer.weight_memory, (*channels, which), tables)

    def matrices(self) -> list[RunMatrix]:
        """Every matrix of the encoder as it is pruned."""
        return [
            pruned(kept_blocks(self.packed(layer)), layer.weight_memory, activation=layer.activation)
            for layer in self.document.layers
        ]

    @cached_property
    def program(self) -> Program:
        """What the device does for a sentence.

        Raises:
            InputError: The file is missing or no program.
        """
        return read_program(self.folder / PROGRAM)

    @cached_property
    def images(self) -> ImageSet:
        """The images, every file checked.

        Raises:
            InputError: One is missing, truncated or changed.
        """
        return read_images(self.folder / IMAGES)


def pack_constants(constants: Constants, layers: Mapping[str, PackedMatrix]) -> dict[str, NDArray[Any]]:
    """Constants with each matrix, by the prefix of its key, in packed form."""
    found = {key: value for key, value in constants.items() if key.removesuffix(".weight") not in layers}
    for key, packed in layers.items():
        found |= {f"{key}.weight.{name}": getattr(packed, name) for name in ("blocks", "columns", "row_blocks")}
    return {key: np.ascontiguousarray(found[key]) for key in sorted(found)}


def unpacked_constants(design: Design) -> dict[str, NDArray[Any]]:
    """The inverse of ``pack_constants``: every matrix whole.

    Raises:
        InputError: A matrix's parts do not fit each other.
    """
    found = {key: value for key, value in design.constants.items() if ".weight." not in key}
    for layer in design.document.layers:
        try:
            found[f"{layer.key}.weight"] = unpack(design.packed(layer))
        except (ValueError, KeyError) as error:
            raise InputError(f"does not fit: {error}", file=design.folder / WEIGHTS, field=layer.name) from None
    return found
