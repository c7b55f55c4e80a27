"""Images: what is in the files, that they lead back to the matrices, and that damaged ones are refused."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codesign.errors import InputError
from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.packing.blocks import pack
from codesign.packing.images import EngineMatrix, Part, make_images, matrices_of, read_images, write_images

ENGINE = Accelerator(
    rows=4,
    cols=6,
    lanes=2,
    weight_bits=8,
    dsp_packing=1,
    clock_mhz=100.0,
    max_tokens=16,
    weight_port_bits=64,
    axi_ports=1,
    axi_port_bits=32,
    requant_interval=2,
)


def matrices(accelerator: Accelerator, seed: int = 0) -> list[EngineMatrix]:
    """Five matrices: two in BRAM, one in URAM, two in DDR; one empty, one dense, one with tables."""
    generator = np.random.default_rng(seed)
    limit = (1 << (accelerator.weight_bits - 1)) - 1
    found = []
    sides = ((9, 13), (8, 12), (10, 6), (5, 30), (16, 7))
    # Words that are no multiple of external memory's beats cannot be read from there.
    external = accelerator.weight_port_bits % accelerator.axi_port_bits == 0
    memories = ("bram", "bram", "uram", "ddr", "ddr") if external else ("bram", "bram", "uram", "uram", "bram")
    densities = (0.5, 0.0, 1.0, 0.4, 0.7)
    for number, ((n, k), memory, density) in enumerate(zip(sides, memories, densities, strict=True)):
        rows, cols = accelerator.block
        mask = generator.random((-(-n // rows), -(-k // cols))) < density
        weight = generator.integers(-limit, limit + 1, (n, k)).astype(np.int8)
        weight *= mask.repeat(rows, 0).repeat(cols, 1)[:n, :k]
        channels = (
            generator.integers(-(1 << 31), 1 << 31, n),
            generator.integers(1, 1 << 16, n),
            generator.integers(1, 64, n),
            generator.integers(0, 2, n),
        )
        tables = generator.integers(-127, 128, (2, 256)) if number == 3 else None
        found.append(
            EngineMatrix(f"m{number}", pack(weight, (rows, cols), mask), WeightMemory(memory), channels, tables)
        )
    return found


def same(left: EngineMatrix, right: EngineMatrix) -> bool:
    arrays = ("blocks", "columns", "row_blocks")
    return (
        left.name == right.name
        and left.memory == right.memory
        and all(np.array_equal(getattr(left.packed, a), getattr(right.packed, a)) for a in arrays)
        and all(np.array_equal(a, b) for a, b in zip(left.channels, right.channels, strict=True))
        and (left.tables is None) == (right.tables is None)
        and (left.tables is None or np.array_equal(left.tables, right.tables))
    )


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("block", [(4, 6), (8, 1), (1, 5), (16, 16)])
@pytest.mark.parametrize("port", [8, 32, 72, 96, 100, 512])
def test_files_lead_back_to_the_matrices(tmp_path: Path, bits: int, block: tuple[int, int], port: int) -> None:
    rows, cols = block
    accelerator = replace(
        ENGINE, rows=rows, cols=cols, weight_bits=bits, weight_port_bits=port, requant_interval=2 if rows > 1 else 1
    )
    given = matrices(accelerator)
    write_images(make_images(accelerator, given), tmp_path)
    found = list(matrices_of(read_images(tmp_path)))
    assert len(found) == len(given)
    assert all(same(a, b) for a, b in zip(given, found, strict=True))


def test_memories_get_the_files_that_they_can_take(tmp_path: Path) -> None:
    write_images(make_images(ENGINE, matrices(ENGINE)), tmp_path)
    suffixes: dict[str, set[str]] = {}
    for path in tmp_path.iterdir():
        suffixes.setdefault(path.name.split(".")[0], set()).add(path.suffix)
    initialised = {".bin", ".mem", ".h", ".inc"}
    assert suffixes == {
        "weights_bram": initialised,
        "index": initialised,
        "channels": initialised,
        "tables": initialised,
        "weights_uram": {".bin"},  # UltraScale+ cannot initialise it
        "ddr": {".bin"},
        "manifest": {".json"},
    }


def test_every_format_says_the_same(tmp_path: Path) -> None:
    """.mem as $readmemh reads it, and .h as a C++ compiler does, against .bin."""
    images = make_images(ENGINE, matrices(ENGINE))
    write_images(images, tmp_path)
    for name, (memory, word_bits, words) in images.contents.items():
        if memory is not WeightMemory.BRAM:
            continue
        wanted = [int.from_bytes(word.tobytes(), "little") for word in words]
        lines = (tmp_path / f"{name}.mem").read_text().splitlines()
        assert [int(line, 16) for line in lines] == wanted
        assert {len(line) for line in lines} == {-(-word_bits // 4)}
        program = tmp_path / "show.cpp"
        program.write_text(
            f'#include "{name}.h"\n#include <cstdio>\nint main() {{\n'
            f"  for (const auto& word : {name}) {{\n"
            '    for (auto piece : word) std::printf("%llu ", static_cast<unsigned long long>(piece));\n'
            '    std::puts("");\n  }\n}\n'
        )
        strict = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", str(program), "-o", str(tmp_path / "show")]
        subprocess.run(strict, check=True)
        shown = subprocess.run([tmp_path / "show"], check=True, capture_output=True, text=True).stdout
        found = [sum(int(piece) << (64 * n) for n, piece in enumerate(line.split())) for line in shown.splitlines()]
        assert found == wanted


def test_external_memory_is_in_the_order_of_reading() -> None:
    """Beats of 4 bytes: index entries of 2 bytes, words of 2 · 55 bits of channels, blocks of 24 bytes."""
    given = matrices(ENGINE)
    images = make_images(ENGINE, given)
    memory, bits, beats = images.contents["ddr"]
    assert (memory, bits) == (WeightMemory.DDR, 32)
    at = 0
    for matrix, placed in zip(given, images.matrices, strict=True):
        if matrix.memory is not WeightMemory.DDR:
            continue
        rows = matrix.packed.row_blocks
        entries = int(np.maximum(rows, 1).sum())
        wanted = {"index": -(-entries * 2 // 4), "channels": len(rows) * 2 * 4, "weights": int(rows.sum()) * 6}
        for part, words in wanted.items():
            place = placed.parts[Part(part)]
            assert (place.first, place.words) == (at, words)
            at += words
        first = beats[placed.parts[Part.INDEX].first].view("<u2")[0]
        assert first == (0xC000 if rows[0] == 0 else matrix.packed.columns[0] | (0x4000 if rows[0] == 1 else 0))
        block = beats[placed.parts[Part.WEIGHTS].first :][:6].reshape(-1).view(np.int8)
        assert block.tolist() == matrix.packed.blocks[0].reshape(-1).tolist()
    assert at == len(beats)
    with pytest.raises(ValueError, match="words of 72 bits are no multiple of external memory's beats of 32"):
        make_images(replace(ENGINE, weight_port_bits=72), given)


def test_size_by_hand(tmp_path: Path) -> None:
    """One dense 32 × 32 matrix in 16 × 16 blocks of int8, on chip: 4 blocks of 2048 bits, 4 index words of 3."""
    accelerator = replace(ENGINE, rows=16, cols=16, weight_port_bits=256, requant_interval=4)
    channels = tuple(np.ones(32, np.int64) for _ in range(4))
    matrix = EngineMatrix("m", pack(np.ones((32, 32), np.int8), (16, 16)), WeightMemory.BRAM, channels)
    size = make_images(accelerator, [matrix]).size
    assert (size.weights, size.index, size.ideal, size.channels) == (4 * 2048, 4 * 3, 4 * 2048, 32 * 55)
    assert size.overhead == pytest.approx(12 / 8192)


def test_overhead_at_16_by_16_is_under_3_percent() -> None:
    """In every memory, at the sides and densities of a BERT-base."""
    generator = np.random.default_rng(0)
    accelerator = replace(ENGINE, rows=16, cols=16, weight_port_bits=256, requant_interval=4)
    for memory in WeightMemory:
        for density in (0.05, 0.5, 1.0):
            mask = generator.random((48, 192)) < density
            weight = np.ones((768, 3072), np.int8) * mask.repeat(16, 0).repeat(16, 1)
            channels = tuple(np.ones(768, np.int64) for _ in range(4))
            matrix = EngineMatrix("m", pack(weight, (16, 16), mask), memory, channels)
            assert 0 < make_images(accelerator, [matrix]).size.overhead < 0.03


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_images(make_images(ENGINE, matrices(ENGINE)), tmp_path)
    return tmp_path


def edit(path: Path, change: Callable[[dict], None]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def cut_file(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (
            "weights_uram.bin",
            cut_file,
            r"weights_uram.bin: images.weights_uram: truncated or overlong .*; accepted: \d+ bytes",
        ),
        ("ddr.bin", flip, r"ddr.bin: images.ddr: changed since it was written: SHA-256 differs"),
        ("index.mem", flip, r"index.mem: images.index: changed since it was written"),
        (
            "weights_bram.h",
            Path.unlink,
            r"weights_bram.h: images.weights_bram: the manifest names this file, it is not there",
        ),
        ("manifest.json", Path.unlink, r"manifest.json: no such file"),
        ("manifest.json", cut_file, r"manifest.json:\d+:\d+: not valid JSON"),
        (
            "manifest.json",
            lambda p: edit(p, lambda m: m.update(format="codesign-images-9")),
            r"format: images of another format version .got 'codesign-images-9'.; accepted: codesign-images-2",
        ),
        (
            "manifest.json",
            lambda p: edit(p, lambda m: m["images"]["index"].update(words=3)),
            r"manifest.json: images.index: \d+ bytes are not 3 words of \d+ bits",
        ),
        (
            "manifest.json",
            lambda p: edit(p, lambda m: m["matrices"][0]["parts"]["index"].update(first=10**6)),
            r"manifest.json: matrices.m0.index: words 1000000 to \d+ are not in image index",
        ),
        (
            "manifest.json",
            lambda p: edit(p, lambda m: m.update(colour="red")),
            r"manifest.json: colour: unknown field",
        ),
    ],
)
def test_damage_is_refused(folder: Path, name: str, damage: Callable[[Path], None], message: str) -> None:
    damage(folder / name)
    with pytest.raises(InputError) as caught:
        read_images(folder)
    assert re.search(message, str(caught.value)), str(caught.value)


def test_numbers_that_do_not_fit_are_refused() -> None:
    matrix = matrices(ENGINE)[0]
    cases = [
        (replace(matrix, channels=(matrix.channels[0], matrix.channels[1] << 1, *matrix.channels[2:])), "multiplier"),
        (replace(matrix, channels=(matrix.channels[0] << 8, *matrix.channels[1:])), "bias"),
        (replace(matrix, channels=tuple(c[1:] for c in matrix.channels)), "bias needs 9 numbers"),
    ]
    for wrong, message in cases:
        with pytest.raises(ValueError, match=message):
            make_images(ENGINE, [wrong])
    with pytest.raises(ValueError, match="a weight does not fit ±7"):
        make_images(replace(ENGINE, weight_bits=4), [matrix])
    with pytest.raises(ValueError, match="the array's are"):
        make_images(replace(ENGINE, rows=2), [matrix])


def test_hashes_are_sha256(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    for image in manifest["images"].values():
        for name, file in image["files"].items():
            data = (folder / name).read_bytes()
            assert file == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
