"""Whether the parts of a design folder say the same: shape, matrices, packed weights, images, model, sentences."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from codesign.design.content import Constants, Design
from codesign.design.document import DESIGN, IMAGES, PARTS, SENTENCES, WEIGHTS, DesignDocument, DesignLayer
from codesign.errors import InputError
from codesign.hardware.accelerator import block_grid
from codesign.hardware.arrays import TABLE_WORDS
from codesign.models import Matrix, load_shape
from codesign.packing.blocks import check as check_packed
from codesign.packing.images import MANIFEST, ImageSet, engine_of, make_images
from codesign.program.document import PROGRAM
from codesign.program.sentence import program_of

_SIZES = ("family", "hidden", "layers", "ffn", "heads")


def read_tensors(path: Path) -> Constants:
    """A safetensors file.

    Raises:
        InputError: It cannot be read.
    """
    try:
        return load_file(path)
    except (SafetensorError, json.JSONDecodeError, OSError) as error:
        raise InputError(f"cannot be read: {error}", file=path) from None


def check_design(design: Design) -> None:
    """Whether a design folder contradicts itself.

    Raises:
        InputError: It does; the message says where and in what.
    """
    document, path = design.document, design.folder / DESIGN
    _check_model(document, design.folder)
    _check_layers(document, document.shape.matrices(), path)
    _check_constants(document, design.constants, design.folder / WEIGHTS)
    for layer in document.layers:
        _check_weights(design, layer)
    _check_program(design)
    try:
        wanted = make_images(document.accelerator, [design.engine_matrix(layer) for layer in document.layers])
    except ValueError as error:
        raise InputError(f"does not fit {DESIGN}: {error}", file=design.folder / WEIGHTS) from None
    _check_images(wanted, design, design.folder / IMAGES / MANIFEST)


def _check_model(document: DesignDocument, folder: Path) -> None:
    """The model and the sentences that the folder has."""
    model = load_shape(str(folder))
    for field in _SIZES:
        if getattr(document.shape, field) != getattr(model, field):
            raise _contradiction(
                folder / DESIGN,
                f"shape.{field}",
                getattr(document.shape, field),
                f"{getattr(model, field)}, as config.json has",
            )
    sentences = read_tensors(folder / SENTENCES)
    for name, ids in sentences.items():
        if ids.shape != (document.batch, document.tokens):
            raise InputError(
                f"not what {DESIGN} says: batch {document.batch}, tokens {document.tokens}",
                file=folder / SENTENCES, field=name, value="×".join(map(str, ids.shape)),
                accepted=f"{document.batch}×{document.tokens}",
            )  # fmt: skip


def _check_layers(document: DesignDocument, matrices: Sequence[Matrix], path: Path) -> None:
    """The matrices of the shape in the order of use, in the array's blocks."""
    if len(document.layers) != len(matrices):
        raise _contradiction(path, "layers", f"{len(document.layers)} matrices", f"{len(matrices)}, as the shape has")
    for number, (layer, matrix) in enumerate(zip(document.layers, matrices, strict=True)):
        rows, columns = block_grid(matrix, *document.accelerator.block)
        encoder_layer, part = divmod(number, len(PARTS))
        wanted = {
            "name": matrix.name,
            "key": f"layers.{encoder_layer}.{PARTS[part]}",
            "out_features": matrix.out_features,
            "in_features": matrix.in_features,
            "activation": matrix.activation,
            "blocks": rows * columns,
        }
        for field, value in wanted.items():
            if getattr(layer, field) != value:
                told = f"{value}, as shape and accelerator have"
                raise _contradiction(path, f"layers.{number}.{field}", getattr(layer, field), told)
    noise = document.quantisation
    if set(noise.matrix_noise_db) != {matrix.name for matrix in matrices}:
        raise _contradiction(
            path, "quantisation.matrix_noise_db", f"{len(noise.matrix_noise_db)} matrices", "the layers'"
        )
    if len(noise.layer_noise_db) != document.shape.layers:
        raise _contradiction(path, "quantisation.layer_noise_db", len(noise.layer_noise_db), "one for each layer")


def _sides(document: DesignDocument) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every constant of the integer model by its key, with its sides; packed matrices apart."""
    shape = document.shape
    yield "scales.embedding", (shape.hidden,)
    yield "scales.output", (shape.hidden,)
    for layer in document.layers:
        for name in ("bias", "multiplier", "shift"):
            yield f"{layer.key}.{name}", (layer.out_features,)
        if layer.activation:
            yield f"{layer.key.rpartition('.')[0]}.activation.tables", (2, TABLE_WORDS // 2)
            yield f"{layer.key.rpartition('.')[0]}.activation.which", (layer.out_features,)
    for number in range(shape.layers):
        for name in ("score_multiplier", "score_shift", "mean_numerator", "mean_shift"):
            yield f"layers.{number}.attention.{name}", (shape.heads,)
        for norm in ("attention_norm", "ffn_norm"):
            for name in ("gain", "offset", "residual_gain", "added_gain"):
                yield f"layers.{number}.{norm}.{name}", (shape.hidden,)
            for name in ("epsilon", "shift"):
                yield f"layers.{number}.{norm}.{name}", (1,)


def _check_constants(document: DesignDocument, constants: Constants, path: Path) -> None:
    """Every constant there, with the sides that the shape gives, and no other."""
    wanted = dict(_sides(document))
    packed = {
        f"{layer.key}.weight.{part}" for layer in document.layers for part in ("blocks", "columns", "row_blocks")
    }
    for key in sorted(wanted.keys() | packed):
        if key not in constants:
            raise InputError("a constant is missing", file=path, field=key)
    for key, constant in constants.items():
        if key not in wanted and key not in packed:
            raise InputError(f"no constant of the model that {DESIGN} describes", file=path, field=key)
        if key in wanted and constant.shape != wanted[key]:
            raise InputError(
                f"does not fit the shape in {DESIGN}", file=path, field=key,
                value="×".join(map(str, constant.shape)), accepted="×".join(map(str, wanted[key])),
            )  # fmt: skip


def _check_weights(design: Design, layer: DesignLayer) -> None:
    """A matrix's packed blocks."""
    block = design.document.accelerator.block
    try:
        packed = design.packed(layer)
        check_packed(packed)
    except (ValueError, KeyError) as error:
        raise InputError(f"does not fit: {error}", file=design.folder / WEIGHTS, field=layer.name) from None
    if packed.block != block or len(packed.blocks) != layer.nonzero_blocks:
        raise InputError(
            f"{len(packed.blocks)} blocks of {packed.block}, {DESIGN} says {layer.nonzero_blocks} of {block}",
            file=design.folder / WEIGHTS,
            field=layer.name,
        )


def _check_program(design: Design) -> None:
    """The program, which follows from shape, masks and accelerator."""
    document, path = design.document, design.folder / PROGRAM
    wanted = program_of(document.accelerator, document.shape, design.matrices())
    for unit in ("array", "vector"):
        found, steps = getattr(design.program, unit), getattr(wanted, unit)
        for number, step in enumerate(steps):
            if number >= len(found) or found[number] != step:
                raise InputError(
                    f"not the program that {DESIGN} and {WEIGHTS} give",
                    file=path,
                    field=f"program.{unit}.{number}",
                    accepted=step.name,
                )
    if design.program != wanted:
        raise InputError(f"not the program that {DESIGN} and {WEIGHTS} give", file=path)


def _check_images(wanted: ImageSet, design: Design, path: Path) -> None:
    """The images, which follow from all the others to the last bit."""
    found = design.images
    for field in type(found.engine).model_fields:
        have, want = getattr(found.engine, field), getattr(engine_of(design.document.accelerator), field)
        if have != want:
            raise _contradiction(path, f"engine.{field}", have, f"{want}, as {DESIGN} has")
    if found.matrices != wanted.matrices or found.size != wanted.size:
        raise InputError(f"other matrices or places than {DESIGN} and {WEIGHTS} give", file=path)
    if set(found.contents) != set(wanted.contents):
        raise InputError(f"other images than {DESIGN} and {WEIGHTS} give", file=path, field="images")
    for name, (memory, bits, words) in wanted.contents.items():
        have_memory, have_bits, have_words = found.contents[name]
        if (have_memory, have_bits) != (memory, bits) or not np.array_equal(have_words, words):
            raise InputError(f"not the words that {WEIGHTS} gives", file=path.with_name(f"{name}.bin"))


def _contradiction(path: Path, field: str, value: object, accepted: str) -> InputError:
    return InputError("contradicts the rest of the folder", file=path, field=field, value=value, accepted=accepted)
