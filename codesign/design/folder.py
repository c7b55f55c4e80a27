"""Reading a design folder, and the parts of one that need no model to write."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from codesign.design.document import DESIGN, FORMAT, IMAGES, WEIGHTS, DesignDocument, DesignLayer
from codesign.errors import InputError
from codesign.files import read_text, read_yaml
from codesign.packing.blocks import PackedMatrix, check, unpack
from codesign.packing.images import EngineMatrix, ImageSet, read_images
from codesign.packing.part import Part, part_to_run

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


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def read_design(folder: Path) -> Design:
    """A design folder; the images are read and checked when they are asked for.

    Raises:
        InputError: The folder is not there or no design, of another format version, or a file of it is missing,
            damaged or does not belong to it; the message says which and where.
    """
    if not folder.is_dir():
        raise InputError("no such folder", file=folder, accepted="a design folder, as codesign quantize writes it")
    path = folder / DESIGN
    if not path.is_file():
        raise InputError(f"no {DESIGN} here", file=folder, accepted="a design folder, as codesign quantize writes it")
    version = next(
        (line.partition(":")[2].strip() for line in read_text(path).splitlines() if line.startswith("format:")), None
    )
    if version != FORMAT:
        raise InputError(
            "a design of another format version", file=path, field="format", value=version, accepted=FORMAT
        )
    document = read_yaml(path, DesignDocument)
    for name, expected in document.files.items():
        if not (folder / name).is_file():
            raise InputError(f"{DESIGN} names this file, it is not there", file=folder / name)
        if file_hash(folder / name) != expected:
            raise InputError(
                f"truncated or changed: SHA-256 differs from {DESIGN}'s", file=folder / name, accepted=expected
            )
    try:
        constants = load_file(folder / WEIGHTS)
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise InputError(f"cannot be read: {error}", file=folder / WEIGHTS) from None
    design = Design(folder, document, constants)
    for layer in document.layers:
        try:
            packed = design.packed(layer)
            check(packed)
        except (ValueError, KeyError) as error:
            raise InputError(f"does not fit: {error}", file=folder / WEIGHTS, field=layer.name) from None
        if packed.block != document.accelerator.block or len(packed.blocks) != layer.nonzero_blocks:
            raise InputError(
                f"{len(packed.blocks)} blocks of {packed.block}, {DESIGN} says"
                f" {layer.nonzero_blocks} of {document.accelerator.block}",
                file=folder / WEIGHTS,
                field=layer.name,
            )
    return design
