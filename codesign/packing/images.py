"""The images of a design: what each memory of the hardware holds, and the files that it is loaded from.

Matrices on chip share memories: the weights of all that lie in block RAM stand one after another in one image, and so
do index, channel constants and activation tables. What is streamed from external memory is one image of bytes. The
manifest says where each matrix begins, with sizes and SHA-256 of every file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from codesign.errors import InputError
from codesign.files import check, read_json, to_json
from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.hardware.images import STREAMED_INDEX_BITS, beat_bits, index_bits
from codesign.hardware.memories import ceil_div
from codesign.names import FileName, Identifier, ModuleName
from codesign.numerics import CHANNEL_BITS
from codesign.packing.blocks import PackedMatrix
from codesign.packing.words import (
    CHANNEL_FIELDS,
    Words,
    channel_words,
    from_channels,
    from_index,
    from_words,
    index_entries,
    to_words,
)

FORMAT = "codesign-images-2"
MANIFEST = "manifest.json"
_HEADER_PART = 800_000
"""Most characters of one included part of a header."""


class Part(StrEnum):
    """What an image holds of a matrix."""

    WEIGHTS = "weights"
    INDEX = "index"
    CHANNELS = "channels"
    TABLES = "tables"


@dataclass(frozen=True)
class EngineMatrix:
    """Everything that the engine needs of one matrix.

    Attributes:
        name: As in the plan.
        packed: Kept blocks.
        memory: Where the weights lie.
        channels: Bias, multiplier, shift and table, N each, int64.
        tables: 2 × 256 int8 of the activation behind it; None without one.
        places: Where its results go, as bits of each word of channels; None where they leave the device.
    """

    name: str
    packed: PackedMatrix
    memory: WeightMemory
    channels: tuple[NDArray[np.int64], ...]
    tables: NDArray[np.int64] | None = None
    places: NDArray[np.uint8] | None = None


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class File(_Strict):
    """One file of an image."""

    bytes: int
    sha256: str


class Image(_Strict):
    """One memory's content.

    ``memory``: bram, uram or ddr. ``bin`` files hold the words one after another, each in whole bytes, the lowest
    first; ``mem`` files one word per line in hexadecimal, for $readmemh; ``h`` files a C array of 64-bit pieces, the
    lowest first, with its content in the ``inc`` files.
    """

    memory: WeightMemory
    word_bits: int
    words: int
    files: dict[FileName, File]


class Place(_Strict):
    """Words of an image."""

    image: str
    first: int
    words: int


class MatrixPlaces(_Strict):
    """Where a matrix's parts are."""

    name: ModuleName
    out_features: int
    in_features: int
    nonzero_blocks: int
    parts: dict[Part, Place]


class Engine(_Strict):
    """The parameters of the array that the words depend on, as in the design."""

    rows: int
    cols: int
    weight_bits: int
    weight_port_bits: int
    requant_interval: int
    axi_ports: int
    axi_port_bits: int


class Size(_Strict):
    """Bits of all matrices. ``overhead`` is what weights and index take above ``ideal``: kept blocks × R·C × bits."""

    weights: int
    index: int
    channels: int
    ideal: int
    overhead: float


class Manifest(_Strict):
    """All that the images' reader must know."""

    format: Literal["codesign-images-2"]
    order: str
    engine: Engine
    size: Size
    images: dict[Identifier, Image]
    matrices: tuple[MatrixPlaces, ...]


ORDER = (
    "Blocks in schedule order (block rows ascending, columns ascending within); within a block row-major, element"
    " (r, c) number r*C + c, little-endian, two's complement. A block begins on a word of its own, its last word is"
    " filled up with zeros. In external memory each part of a matrix begins with a beat, each word of channels too."
    " Index entry: column block; its highest bit marks an entry that stands for an empty block"
    " row, the next one a block row's last entry. Channel word: R/Q channels, the first lowest, each "
    + ", ".join(f"{name} {width}" for name, width in CHANNEL_FIELDS)
    + " bits from the lowest. Tables: two of 256 entries for each matrix, for -128 to 127."
)


@dataclass(frozen=True)
class ImageSet:
    """Images in memory.

    Attributes:
        engine: The array's parameters.
        contents: Memory, word bits and words of each image by name.
        matrices: Where the parts are.
        size: Bits.
    """

    engine: Engine
    contents: Mapping[str, tuple[WeightMemory, int, Words]]
    matrices: tuple[MatrixPlaces, ...]
    size: Size


def engine_of(accelerator: Accelerator) -> Engine:
    """What the words depend on."""
    return Engine(**{name: getattr(accelerator, name) for name in Engine.model_fields})


def make_images(
    accelerator: Accelerator, matrices: Sequence[EngineMatrix], more: Mapping[str, tuple[int, Words]] | None = None
) -> ImageSet:
    """The images of a design.

    Args:
        accelerator: The array.
        matrices: In the order of use.
        more: Word bits and words of further read-only memories by name; ``channels`` go behind those of the matrices.

    Raises:
        ValueError: A matrix is packed in other blocks than the array's, or a number does not fit its field.
    """
    for matrix in matrices:
        _check_matrix(accelerator, matrix)
    shared: dict[str, tuple[WeightMemory, int, list[Words]]] = {}
    filled: dict[str, int] = {}

    def put(image: str, memory: WeightMemory, word_bits: int, words: Words) -> Place:
        _, _, parts = shared.setdefault(image, (memory, word_bits, []))
        place = Place(image=image, first=filled.get(image, 0), words=len(words))
        parts.append(words)
        filled[image] = place.first + len(words)
        return place

    def put_external(words: Words) -> Place:
        """Rows of whole beats."""
        return put("ddr", WeightMemory.DDR, beat, words.reshape(-1, beat // 8))

    place_bits = max((0 if m.places is None else m.places.shape[1] for m in matrices), default=0)
    rows, interval = accelerator.rows, accelerator.requant_interval
    port, bits = accelerator.weight_port_bits, accelerator.weight_bits
    entry_bits = max((index_bits(m.packed.block_columns) for m in matrices), default=1)
    channel_bits = rows // interval * CHANNEL_BITS + place_bits
    beat = beat_bits(accelerator)
    places = []
    for matrix in matrices:
        packed, parts = matrix.packed, {}
        blocks = packed.blocks.reshape(len(packed.blocks), accelerator.block_area)
        if matrix.memory is WeightMemory.DDR:
            if port % beat:
                raise ValueError(f"words of {port} bits are no multiple of external memory's beats of {beat}")
            # In the order of reading: constants, then weights; blocks of whole words, as on chip.
            entries = index_entries(packed, STREAMED_INDEX_BITS)[None, :]
            parts[Part.INDEX] = put_external(to_words(entries, STREAMED_INDEX_BITS, beat))
            bits_whole = ceil_div(channel_bits, beat) * beat
            constants = channel_words(matrix.channels, rows, interval, bits_whole, matrix.places)
            parts[Part.CHANNELS] = put_external(constants)
            parts[Part.WEIGHTS] = put_external(to_words(blocks, bits, port))
        else:
            name = f"weights_{matrix.memory.value}"
            parts[Part.WEIGHTS] = put(name, matrix.memory, port, to_words(blocks, bits, port))
            entries = index_entries(packed, entry_bits)[:, None]
            parts[Part.INDEX] = put("index", WeightMemory.BRAM, entry_bits, to_words(entries, entry_bits, entry_bits))
            constants = channel_words(matrix.channels, rows, interval, channel_bits, matrix.places)
            parts[Part.CHANNELS] = put("channels", WeightMemory.BRAM, channel_bits, constants)
        if matrix.tables is not None:
            table = to_words(matrix.tables.reshape(-1, 1), 8, 8)
            parts[Part.TABLES] = put("tables", WeightMemory.BRAM, 8, table)
        places.append(
            MatrixPlaces(
                name=matrix.name,
                out_features=packed.out_features,
                in_features=packed.in_features,
                nonzero_blocks=len(packed.blocks),
                parts=parts,
            )
        )
    for name, (width, words) in (more or {}).items():
        put(name, WeightMemory.BRAM, width, words)
    contents = {name: (memory, width, np.concatenate(parts)) for name, (memory, width, parts) in shared.items()}
    return ImageSet(engine_of(accelerator), contents, tuple(places), _size(accelerator, matrices, places, contents))


def _check_matrix(accelerator: Accelerator, matrix: EngineMatrix) -> None:
    if matrix.packed.block != accelerator.block:
        raise ValueError(f"{matrix.name}: blocks of {matrix.packed.block}, the array's are {accelerator.block}")
    limit = (1 << (accelerator.weight_bits - 1)) - 1
    if matrix.packed.blocks.size and int(np.abs(matrix.packed.blocks.astype(np.int16)).max()) > limit:
        raise ValueError(f"{matrix.name}: a weight does not fit ±{limit}")
    for values, (name, width) in zip(matrix.channels, CHANNEL_FIELDS, strict=True):
        low, high = (-(1 << (width - 1)), (1 << (width - 1)) - 1) if name == "bias" else (0, (1 << width) - 1)
        if len(values) != matrix.packed.out_features or values.min() < low or values.max() > high:
            raise ValueError(f"{matrix.name}: {name} needs {matrix.packed.out_features} numbers from {low} to {high}")


def _size(
    accelerator: Accelerator,
    matrices: Sequence[EngineMatrix],
    places: Sequence[MatrixPlaces],
    contents: Mapping[str, tuple[WeightMemory, int, Words]],
) -> Size:
    bits = dict.fromkeys(Part, 0)
    for matrix in places:
        for part, place in matrix.parts.items():
            bits[part] += place.words * contents[place.image][1]
    ideal = sum(len(m.packed.blocks) for m in matrices) * accelerator.block_bits
    stored = bits[Part.WEIGHTS] + bits[Part.INDEX]
    return Size(
        weights=bits[Part.WEIGHTS],
        index=bits[Part.INDEX],
        channels=bits[Part.CHANNELS],
        ideal=ideal,
        overhead=stored / ideal - 1 if ideal else 0.0,
    )


def streamed_entries(beats: Words) -> NDArray[np.int64]:
    """Index entries of a matrix in external memory, without what fills up the last beat, which has no marks."""
    entries = beats.reshape(-1, STREAMED_INDEX_BITS // 8)
    numbers = from_words(entries, STREAMED_INDEX_BITS, 1, STREAMED_INDEX_BITS, signed=False)[:, 0]
    return numbers[: int(np.flatnonzero(numbers >> (STREAMED_INDEX_BITS - 2))[-1]) + 1]


def write_images(images: ImageSet, folder: Path) -> Manifest:
    """Write every image in the formats that its memory can take, and the manifest last."""
    folder.mkdir(parents=True, exist_ok=True)
    files, manifest = image_files(images)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return manifest


def image_files(images: ImageSet) -> tuple[dict[str, bytes], Manifest]:
    """Every file of a folder of images by name, the manifest last; and the manifest."""
    all_files: dict[str, bytes] = {}
    described: dict[str, Image] = {}
    for name, (memory, word_bits, words) in images.contents.items():
        files: dict[str, bytes] = {f"{name}.bin": words.tobytes()}
        if memory is WeightMemory.BRAM:
            files[f"{name}.mem"] = memory_text(words, word_bits)
            files |= header_files(name, words, word_bits)
        # URAM keeps its .bin alone: it is loaded at start-up, as most devices cannot initialise it.
        hashes = {
            file: File(bytes=len(data), sha256=hashlib.sha256(data).hexdigest()) for file, data in files.items()
        }
        described[name] = Image(memory=memory, word_bits=word_bits, words=len(words), files=hashes)
        all_files |= files
    manifest = Manifest(
        format=FORMAT,
        order=ORDER,
        engine=images.engine,
        size=images.size,
        images=described,
        matrices=images.matrices,
    )
    all_files[MANIFEST] = to_json(manifest.model_dump(mode="json")).encode()
    return all_files, manifest


def memory_text(words: Words, word_bits: int) -> bytes:
    """One word per line in hexadecimal, for $readmemh."""
    if not len(words):
        return b""
    digits = ceil_div(word_bits, 4)
    text = np.frombuffer(words[:, ::-1].tobytes().hex().encode(), np.uint8).reshape(len(words), -1)
    lines = np.full((len(words), digits + 1), ord("\n"), np.uint8)
    lines[:, :digits] = text[:, text.shape[1] - digits :]
    return lines.tobytes()


def header_files(name: str, words: Words, word_bits: int) -> dict[str, bytes]:
    """A C array of an image, for synthesis: a header, and its content in parts that editors can take."""
    pieces = ceil_div(word_bits, 64)
    padded = np.zeros((len(words), pieces * 8), np.uint8)
    padded[:, : words.shape[1]] = words
    numbers = padded.view("<u8")
    per_part = max(1, _HEADER_PART // (pieces * 21 + 4))
    files = {}
    for number, first in enumerate(range(0, len(words), per_part)):
        rows = numbers[first : first + per_part].tolist()
        lines = ["{" + ", ".join(f"0x{piece:016x}" for piece in row) + "}," for row in rows]
        files[f"{name}.{number:02d}.inc"] = ("\n".join(lines) + "\n").encode()
    macro = name.upper()
    header = [
        f"// {name}: {len(words)} words of {word_bits} bits, each as {pieces} pieces of 64 bits, the lowest first.",
        f"// Layout of the words: {MANIFEST}. Written by codesign; for synthesis (simulation loads {name}.bin).",
        "#pragma once",
        "#include <cstdint>",
        "",
        f"constexpr int {macro}_WORDS = {len(words)};",
        f"constexpr int {macro}_PIECES = {pieces};",
        "",
        f"static const std::uint64_t {name}[{macro}_WORDS][{macro}_PIECES] = {{",
        *(f'#include "{part}"' for part in files),
        "};",
    ]
    return {f"{name}.h": ("\n".join(header) + "\n").encode(), **files}


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder of images.

    Raises:
        InputError: It is missing, damaged, or of another format version.
    """
    path = folder / MANIFEST
    content = read_json(path)
    if isinstance(content, dict) and content.get("format") != FORMAT:
        raise InputError(
            "images of another format version",
            file=path,
            field="format",
            value=content.get("format"),
            accepted=FORMAT,
        )
    return check(content, Manifest, path)


def read_images(folder: Path) -> ImageSet:
    """Images back from their files, every file checked.

    Raises:
        InputError: A file is missing, truncated or changed; the message says which, and where the manifest has it.
    """
    manifest = read_manifest(folder)
    contents = {}
    for name, image in manifest.images.items():
        for file, expected in image.files.items():
            path = folder / file
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                raise InputError(
                    "the manifest names this file, it is not there", file=path, field=f"images.{name}"
                ) from None
            except OSError as error:
                raise InputError(f"cannot be read: {error.strerror}", file=path) from None
            if len(data) != expected.bytes:
                raise InputError(
                    "truncated or overlong",
                    file=path,
                    field=f"images.{name}",
                    value=f"{len(data)} bytes",
                    accepted=f"{expected.bytes} bytes",
                )
            if hashlib.sha256(data).hexdigest() != expected.sha256:
                raise InputError(
                    "changed since it was written: SHA-256 differs from the manifest's",
                    file=path,
                    field=f"images.{name}",
                    accepted=expected.sha256,
                )
            if file == f"{name}.bin":
                width = ceil_div(image.word_bits, 8)
                if len(data) != image.words * width:
                    raise InputError(
                        f"{len(data)} bytes are not {image.words} words of {image.word_bits} bits",
                        file=folder / MANIFEST,
                        field=f"images.{name}",
                    )
                contents[name] = (image.memory, image.word_bits, np.frombuffer(data, np.uint8).reshape(-1, width))
        if name not in contents:
            raise InputError("no .bin file", file=folder / MANIFEST, field=f"images.{name}")
    for matrix in manifest.matrices:
        for part, place in matrix.parts.items():
            if place.image not in contents or not 0 <= place.first <= place.first + place.words <= len(
                contents[place.image][2]
            ):
                raise InputError(
                    f"words {place.first} to {place.first + place.words} are not in image {place.image}",
                    file=folder / MANIFEST,
                    field=f"matrices.{matrix.name}.{part.value}",
                )
    return ImageSet(manifest.engine, contents, manifest.matrices, manifest.size)


def matrices_of(images: ImageSet) -> Iterator[EngineMatrix]:
    """The matrices that images hold, one after another.

    Raises:
        ValueError: A part does not fit its matrix.
    """
    engine = images.engine
    area = engine.rows * engine.cols
    for matrix in images.matrices:

        def words(part: Part, where: MatrixPlaces = matrix) -> tuple[WeightMemory, int, Words]:
            place = where.parts[part]
            memory, width, content = images.contents[place.image]
            return memory, width, content[place.first : place.first + place.words]

        memory, width, weights = words(Part.WEIGHTS)
        _, entry_bits, entries = words(Part.INDEX)
        _, channel_bits, constants = words(Part.CHANNELS)
        interval = engine.requant_interval
        if memory is WeightMemory.DDR:
            entry_bits, width = STREAMED_INDEX_BITS, engine.weight_port_bits
            weights = weights.reshape(-1, width // 8)
            channel_bits = ceil_div(engine.rows // interval * CHANNEL_BITS, channel_bits) * channel_bits
            constants = constants.reshape(-1, channel_bits // 8)
            numbers = streamed_entries(entries)
        else:
            numbers = from_words(entries, entry_bits, 1, entry_bits, signed=False)[:, 0]
        blocks = from_words(weights, engine.weight_bits, area, width).astype(np.int8)
        found = from_index(numbers, entry_bits)
        if len(blocks) != len(found[0]):
            raise ValueError(f"{matrix.name}: {len(blocks)} blocks, {len(found[0])} index entries")
        packed = PackedMatrix(
            matrix.out_features, matrix.in_features, blocks.reshape(-1, engine.rows, engine.cols), *found
        )
        channels = from_channels(constants, matrix.out_features, engine.rows, interval, channel_bits)
        tables = None
        if Part.TABLES in matrix.parts:
            tables = from_words(words(Part.TABLES)[2], 8, 1, 8).reshape(2, -1)
        yield EngineMatrix(matrix.name, packed, memory, tuple(channels.values()), tables)
