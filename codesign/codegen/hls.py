"""The Vitis HLS project of a design: every file of it in memory, from plain sources and templates."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import zip_longest
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign import __version__
from codesign.boards import Board
from codesign.codegen.banks import EXTERNAL, assign_banks
from codesign.codegen.rtl import Parameter, ParameterGroup, layer_jobs, parameter_groups
from codesign.codegen.templates import render
from codesign.errors import InputError
from codesign.files import to_json
from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.hardware.arrays import TABLE_WORDS
from codesign.hardware.cycles import kernel_trips
from codesign.hardware.dsp import dsp_packing
from codesign.hardware.images import STREAMED_INDEX_BITS
from codesign.hardware.memories import ceil_div
from codesign.hardware.timeline import INDEX_QUEUE, READ_BEATS
from codesign.names import harmless
from codesign.packing.blocks import PackedMatrix
from codesign.packing.images import ImageSet, Part, image_files
from codesign.packing.part import WholeResults
from codesign.packing.streams import activation_beats
from codesign.shipped import data_folder

FORMAT = "codesign-hls-1"
MANIFEST = "manifest.json"
"""How a project was made, with the SHA-256 of every other file, below ``files``."""
TOP = "codesign_engine"
VITIS = "vitis"
DRIVERS = "drivers"
WIDEST_INTEGER = 4096
"""Bits of the widest ap_uint that Vitis takes (AP_INT_MAX_W)."""
_FIRST_ARGUMENT = 0x10  # behind the control and interrupt registers of a Vitis kernel
DMA_DEFAULT_BITS = 14
DMA_FEWEST_BITS, DMA_MOST_BITS = 8, 26
"""Of the length register of AXI DMA: as it comes, and what it can be set to (AMD PG021, Buffer Length Register)."""
PATIENCE, LEAST_SECONDS = 1000, 1.0
"""A driver gives up after so many times the predicted time, or so long where that is less."""


class Interface(StrEnum):
    """How activations and results reach the kernel."""

    M_AXI = "m_axi"
    AXIS = "axis"


@dataclass(frozen=True)
class VectorRun:
    """One call of the kernel in the testbench.

    Attributes:
        first: Number of its first matrix.
        tokens: Of each matrix.
        activations: Features × tokens of each matrix, int8.
        results: Features × tokens of what each must give, int8.
    """

    first: int
    tokens: int
    activations: Sequence[NDArray[np.int8]]
    results: Sequence[NDArray[np.int8]]


@dataclass(frozen=True)
class Features:
    """Which features of a whole matrix the kernel deals with.

    Attributes:
        inputs: K.
        read: Input features that it reads, ascending.
        whole: Which output features it gives, and what the others always are.
    """

    inputs: int
    read: NDArray[np.int64]
    whole: WholeResults


@dataclass(frozen=True)
class HlsDesign:
    """What a project is generated from.

    Attributes:
        title: What headers call the design.
        board: The board.
        accelerator: The array.
        images: Of all matrices.
        packed: Every matrix, in the order of the images.
        runs: What the testbench runs.
        features: Of each whole matrix; none: the matrices are whole.
    """

    title: str
    board: Board
    accelerator: Accelerator
    images: ImageSet
    packed: Sequence[PackedMatrix]
    runs: Sequence[VectorRun]
    features: Sequence[Features] = ()


@dataclass(frozen=True)
class Argument:
    """One argument of the kernel.

    Attributes:
        name: In the source.
        type: In C++; a reference for streams.
        meaning: What it is.
        value: What the testbench passes.
        offset: Of its register from the base of the control interface; None where it has none.
        bytes: Of the register: 8 for an address, 4 for a number.
        pragmas: Of its interface.
        memory_bytes: Of the buffer that it is the address of; 0 where it is none.
    """

    name: str
    type: str
    meaning: str
    value: str
    offset: int | None
    bytes: int
    pragmas: tuple[str, ...]
    memory_bytes: int = 0

    @property
    def declaration(self) -> str:
        """Type and name."""
        return f"{self.type} {self.name}"


def hls_files(
    design: HlsDesign, interface: Interface = Interface.M_AXI, command: Sequence[str] = (), seed: int = 0
) -> dict[str, bytes]:
    """Every file of the project by its path, the manifest last.

    Args:
        design: What it is generated from.
        interface: Of activations and results.
        command: As given on the command line, for the manifest.
        seed: For the manifest.

    Raises:
        InputError: The board's DSPs cannot take the products that the design packs into one, or an integer would be
            wider than Vitis takes.
    """
    if interface is Interface.M_AXI:
        # What comes from memory is as wide as a memory port, however wide the engine's streams are.
        design = replace(design, accelerator=replace(design.accelerator, stream_bits=0))
    values = _values(design, interface)
    files = {}
    root = data_folder("hls_templates")
    for folder in (VITIS, DRIVERS):
        for path in sorted((root / folder).rglob("*")):
            name = path.relative_to(root / folder).as_posix()
            target = name.removesuffix(".j2") if folder == VITIS else f"{DRIVERS}/{name.removesuffix('.j2')}"
            if not path.is_file() or not _wanted(target, values):
                continue
            text = render(f"{folder}/{name}", **values) if name.endswith(".j2") else path.read_text(encoding="utf-8")
            files[target] = text.encode()
    images, _ = image_files(design.images)
    files |= {f"weights/{name}": data for name, data in images.items()}
    files["weights/features.json"] = to_json(list(_features(design))).encode()
    files |= vector_files(design)
    files[MANIFEST] = to_json(_manifest(design, interface, command, seed, files)).encode()
    return files


def _wanted(target: str, values: Mapping[str, Any]) -> bool:
    """Whether a design has this file."""
    alveo, streams = values["flow_target"] == "vitis", values["interface"] == Interface.AXIS
    special = {
        "link.cfg": alveo,
        # A host reaches streams of an Alveo kernel through other kernels only.
        "drivers/engine_xrt.cpp": alveo and not streams,
        "drivers/engine_pynq.py": not alveo,
        "src/stream_beat.hpp": streams,
    }
    return bool(special.get(target, True))


def vector_files(design: HlsDesign) -> dict[str, bytes]:
    """What the testbench reads: runs, beats of activations, results."""
    a, files, lines = design.accelerator, {}, []
    for number, run in enumerate(design.runs):
        packed = design.packed[run.first : run.first + len(run.activations)]
        trips = [kernel_trips(a, m.row_blocks.tolist(), run.tokens) for m in packed]
        lines.append(" ".join(map(str, (run.first, len(packed), run.tokens, *trips))))
        files[f"vectors/run{number}.activations.bin"] = b"".join(
            activation_beats(a, x).tobytes() for x in run.activations
        )
        files[f"vectors/run{number}.results.bin"] = b"".join(y.astype(np.int8).tobytes() for y in run.results)
    return {"vectors/runs.txt": ("\n".join(lines) + "\n").encode(), **files}


def _features(design: HlsDesign) -> Iterator[dict[str, Any]]:
    """Per whole matrix the features that the engine does not read, those that it does not give and what these are."""
    for matrix, packed, own in zip_longest(design.images.matrices, design.packed, design.features):
        found = own or Features(
            packed.in_features,
            np.arange(packed.in_features),
            WholeResults(np.arange(packed.out_features), np.zeros(packed.out_features, np.int8)),
        )
        outputs = len(found.whole.constants)
        constant = np.setdiff1d(np.arange(outputs), found.whole.given)
        yield {
            "name": matrix.name,
            "inputs": found.inputs,
            "unread": np.setdiff1d(np.arange(found.inputs), found.read).tolist(),
            "outputs": outputs,
            "constant": constant.tolist(),
            "values": found.whole.constants[constant].tolist(),
        }


def _values(design: HlsDesign, interface: Interface) -> dict[str, Any]:
    """Every name that the templates use."""
    a, board, images = design.accelerator, design.board, design.images
    dsp_packing(board.device.dsp_type, a.weight_bits, a.dsp_packing)  # refuses what does not fit
    rtl = {p.name: p for group in parameter_groups(a, board.device.dsp_type, images) for p in group.items}
    p = {name: item.value for name, item in rtl.items()}
    channel_bits = a.rows // a.requant_interval * p["CHANNEL_BITS"]
    for field, bits in (("weight_port_bits", a.weight_port_bits), ("rows / requant_interval", channel_bits)):
        if bits > WIDEST_INTEGER:
            raise InputError(
                "needs words wider than Vitis takes", field=f"accelerator.{field}", value=bits,
                accepted=f"{WIDEST_INTEGER} bits or fewer",
            )  # fmt: skip
    jobs = list(_jobs(design))
    own = _own_parameters(design, p, jobs)
    p |= {item.name: item.value for item in own}
    external, uram_words = bool(p["EXTERNAL"]), p["URAM_WORDS"]
    ports = p["PORTS"]
    groups = p["GROUPS"]
    depths = {
        "activation_depth": sum(job["columns"] for job in jobs) * groups * p["ACTIVATION_BEATS"],
        "result_depth": sum(job["rows"] for job in jobs) * groups * a.requant_interval * p["RESULT_BEATS"],
        "weight_depth": uram_words * p["PORT_BEATS"],
        "external_depth": len(images.contents["ddr"][2]) if external else 0,
    }
    found = list(_arguments(interface, p, depths))
    transfer = _largest_transfer(p, jobs, depths["weight_depth"])
    dma = interface is Interface.AXIS and board.vitis.flow_target == "vivado"
    if dma and transfer.bit_length() > DMA_MOST_BITS:
        raise InputError(
            "a matrix has more bytes than AXI DMA transfers at once", field="--interface", value=interface.value,
            accepted=f"m_axi, or {(1 << DMA_MOST_BITS) - 1:,} bytes, not {transfer:,}",
        )  # fmt: skip
    widest = max(a.weight_port_bits, channel_bits, ports * a.axi_port_bits, p["STREAM_BITS"] * p["PORT_BEATS"], 1024)
    return {
        "version": __version__,
        "title": harmless(design.title),
        "board": board,
        "banks": _banks(board, found),
        "largest_transfer": transfer,
        "dma_bits": max(transfer.bit_length(), DMA_FEWEST_BITS),
        "dma_default_bits": DMA_DEFAULT_BITS,
        "patience": PATIENCE,
        "least_seconds": LEAST_SECONDS,
        "top": TOP,
        "dsp": board.device.dsp_type.value,
        "flow_target": board.vitis.flow_target,
        "platform": board.vitis.platform,
        "clock_ns": f"{1000 / a.clock_mhz:.3f}",
        "clock_mhz": f"{a.clock_mhz:g}",
        "clock_hz": round(a.clock_mhz * 1e6),
        # What make would take apart or replace cannot be told it; PYTHON=… on the command line can be.
        "python": sys.executable if re.fullmatch(r"[\w ./+-]+", sys.executable) else "",
        "interface": interface,
        "parameters": _groups(rtl, own),
        "p": p,
        "jobs": jobs,
        "widest": 1 << (widest - 1).bit_length(),
        "roms": list(_roms(images, p)),
        "external": external,
        "ports": ports,
        "uram_words": uram_words,
        "activation_memory": a.activation_memory.value,
        "read_beats": READ_BEATS,
        "index_queue": INDEX_QUEUE,
        "word_queue": 2 * p["FETCH_WORDS"],
        "arguments": found,
        "width": max(len(argument.name) for argument in found),
        "activation_type": "const beat_t*" if interface is Interface.M_AXI else "hls::stream<stream_beat_t>&",
        "result_type": "beat_t*" if interface is Interface.M_AXI else "hls::stream<stream_beat_t>&",
        **depths,
    }


_GROUPS = {
    "The array.": ("R", "C", "L", "Q", "WEIGHT_BITS"),
    "Products in one DSP.": (
        *("PACKING", "ROWS_PER_DSP", "LANES_PER_DSP", "DSP_LANES", "WIDE_BITS", "FIELD_SHIFT", "WEIGHT_SHIFT"),
        "CHAIN",
    ),
    "Tokens.": ("MAX_TOKENS", "GROUPS"),
    "Weights.": (
        *("PORT_BITS", "FETCH_WORDS", "WEIGHTS_PER_WORD", "WORD_PIECES", "BRAM_WORDS", "URAM_WORDS", "URAM_DEPTH"),
        *("PORT_BEATS", "MOST_WORDS"),
    ),
    "Index and channel constants.": (
        *("COLUMN_BITS", "MOST_ENTRIES", "CHANNEL_BITS", "CHANNEL_BIAS", "CHANNEL_MULTIPLIER", "CHANNEL_SHIFT"),
        *("CHANNEL_TABLE", "CHANNEL_PIECES", "TABLES", "TABLE_WORDS"),
    ),
    "Buffers.": (
        *("STREAM_BITS", "BEAT_VALUES", "COLUMNS", "ACTIVATION_BEATS", "ACTIVATION_WORDS", "RESULT_BEATS"),
        "MATRIX_RESULTS",
    ),
    "External memory.": (
        *("EXTERNAL", "PORTS", "AXI_BITS", "WORD_BEATS", "STREAMED_INDEX_BITS", "INDEX_BEATS", "CHANNEL_BEATS"),
        "CHANNEL_BUFFER",
    ),
    "Runs.": ("LAYERS", "MOST_TRIPS"),
}
"""What the kernel needs; most of it is the engine's in SystemVerilog too, and defined there."""


def _groups(rtl: Mapping[str, Parameter], own: Sequence[Parameter]) -> list[ParameterGroup]:
    known = dict(rtl) | {item.name: item for item in own}
    return [ParameterGroup(title, tuple(known[name] for name in names)) for title, names in _GROUPS.items()]


def _own_parameters(design: HlsDesign, p: Mapping[str, int], jobs: Sequence[Mapping[str, Any]]) -> list[Parameter]:
    """Parameters that only the kernel has."""
    a = design.accelerator
    streamed = [job for job in jobs if job["memory"] == WeightMemory.DDR.name]
    most_blocks = max(job["nonzero_blocks"] for job in jobs)
    return [
        Parameter("WEIGHTS_PER_WORD", a.weight_port_bits // a.weight_bits, "weights of a word"),
        Parameter("WORD_PIECES", ceil_div(a.weight_port_bits, 64), "pieces of 64 bits of a word"),
        Parameter("URAM_DEPTH", max(p["URAM_WORDS"], 1), "of the array that stands for it"),
        Parameter("MOST_WORDS", max(most_blocks * p["FETCH_WORDS"], 1), "words of a matrix, the most"),
        Parameter("MOST_ENTRIES", max(job["entries"] for job in jobs), "entries of a matrix, the most"),
        Parameter(
            "CHANNEL_PIECES",
            ceil_div(a.rows // a.requant_interval * p["CHANNEL_BITS"], 64),
            "pieces of 64 bits of a word of R / Q channels",
        ),
        Parameter("TABLE_WORDS", TABLE_WORDS, "entries of a matrix's tables"),
        Parameter("BEAT_VALUES", p["STREAM_BITS"] // 8, "activations or results of a beat"),
        Parameter("ACTIVATION_WORDS", p["COLUMNS"] * p["GROUPS"], "words of a matrix's activations, the most"),
        Parameter(
            "MATRIX_RESULTS",
            max(job["rows"] for job in jobs) * p["GROUPS"] * a.requant_interval,
            "words of a matrix's results, the most",
        ),
        Parameter("STREAMED_INDEX_BITS", STREAMED_INDEX_BITS, "of an index entry there"),
        Parameter(
            "INDEX_BEATS", max((job["index_beats"] for job in streamed), default=1), "of a matrix's index, the most"
        ),
        Parameter("MOST_TRIPS", max(job["trips"] for job in jobs), "trips of the core's loop for a matrix, the most"),
    ]


def _jobs(design: HlsDesign) -> Iterator[dict[str, Any]]:
    """The rows of the layer table: as in SystemVerilog, and where activations and results begin."""
    columns = rows = 0
    a = design.accelerator
    for job, packed in zip(layer_jobs(a, design.images), design.packed, strict=True):
        own_rows = ceil_div(job["out_features"], a.rows)
        trips = kernel_trips(a, packed.row_blocks.tolist(), a.max_tokens)
        yield job | {"rows": own_rows, "columns_before": columns, "rows_before": rows, "trips": trips}
        columns += job["columns"]
        rows += own_rows


def _largest_transfer(p: Mapping[str, int], jobs: Sequence[Mapping[str, Any]], weight_beats: int) -> int:
    """Bytes of the largest packet of the drivers' streams: a matrix's activations or results, or URAM's weights."""
    beats = [weight_beats]
    for job in jobs:
        beats.append(job["columns"] * p["GROUPS"] * p["ACTIVATION_BEATS"])
        beats.append(job["rows"] * p["GROUPS"] * p["Q"] * p["RESULT_BEATS"])
    return max(beats) * p["STREAM_BITS"] // 8


def _banks(board: Board, arguments: Sequence[Argument]) -> dict[str, str]:
    """The bank of memory of each port as v++ names it; none where v++ links nothing.

    Raises:
        InputError: What the ports of a bank read and write does not fit into it.
    """
    memory = board.fastest_memory
    if board.vitis.flow_target != "vitis" or memory.banks is None:
        return {}
    tag, count = memory.banks.tag, memory.banks.count
    sizes = {argument.name: argument.memory_bytes for argument in arguments if argument.memory_bytes}
    numbers = assign_banks(list(sizes), count)
    for bank in set(numbers.values()):
        size = sum(sizes[name] for name, number in numbers.items() if number == bank)
        if size > memory.bytes // count:
            raise InputError(
                f"what lies in {tag}[{bank}] of {board.name} does not fit there", field="accelerator.axi_ports",
                value=f"{size:,} bytes", accepted=f"{memory.bytes // count:,} bytes or fewer: a plan with more ports",
            )  # fmt: skip
    return {name: f"{tag}[{number}]" for name, number in numbers.items()}


def _roms(images: ImageSet, p: Mapping[str, int]) -> Iterator[dict[str, Any]]:
    """The on-chip memories that a bitstream fills."""
    pieces = {"weights_bram": p["WORD_PIECES"], "index": 1, "channels": p["CHANNEL_PIECES"], "tables": 1}
    for name, count in pieces.items():
        _, bits, words = images.contents.get(name, (None, 8, ()))
        yield {"name": name, "words": len(words), "bytes": ceil_div(bits, 8), "pieces": count}


def _arguments(interface: Interface, p: Mapping[str, int], depths: Mapping[str, int]) -> Iterator[Argument]:
    """The kernel's arguments, with registers at fixed places."""
    at = _FIRST_ARGUMENT

    def place(size: int) -> int:
        nonlocal at
        found, at = at, at + (12 if size == 8 else 8)
        return found

    def memory(name: str, kind: str, bits: int, depth: int, meaning: str, value: str) -> Argument:
        offset = place(8)
        # As long as the standard allows: 256 beats, and never across 4 KiB.
        burst = min(256, 4096 * 8 // bits)
        direction = "write" if name == "results" else "read"
        return Argument(
            name,
            f"{'const ' if direction == 'read' else ''}engine::{kind}",
            meaning,
            value,
            offset,
            8,
            (
                f"mode=m_axi port={name} bundle={name} offset=slave depth={depth}"
                f"\n                max_{direction}_burst_length={burst} num_{direction}_outstanding=16",
                f"mode=s_axilite port={name} bundle=control offset=0x{offset:02x}",
            ),
            depth * bits // 8,
        )

    def number(name: str, meaning: str) -> Argument:
        offset = place(4)
        pragma = f"mode=s_axilite port={name} bundle=control offset=0x{offset:02x}"
        return Argument(name, "int", meaning, name, offset, 4, (pragma,))

    bits = p["STREAM_BITS"]
    if interface is Interface.M_AXI:
        yield memory(
            *("activations", "beat_t*", bits, depths["activation_depth"]),
            *("beats of all matrices' activations, one matrix after another", "buffers.activations.data()"),
        )
        yield memory(
            *("results", "beat_t*", bits, depths["result_depth"]),
            *("beats of their results", "buffers.results.data()"),
        )
        if p["URAM_WORDS"]:
            yield memory(
                *("weights", "beat_t*", bits, depths["weight_depth"]),
                *("with `load`: beats of the words for URAM", "buffers.weights.data()"),
            )
    else:
        stream = "hls::stream<engine::stream_beat_t>&"
        for name, meaning, value in (
            ("activations", "beats of all matrices' activations; with `load`, of the words for URAM", "in"),
            ("results", "beats of their results, the last of each matrix marked", "out"),
        ):
            yield Argument(name, stream, meaning, value, None, 0, (f"mode=axis port={name}",))
    if p["EXTERNAL"]:
        for port in range(p["PORTS"]):
            yield memory(
                *(f"{EXTERNAL}{port}", "external_t*", p["AXI_BITS"], depths["external_depth"]),
                *(f"external memory: part {port} of every beat of ddr.bin", f"{EXTERNAL}{port}.data()"),
            )
    yield number("load", "1: fill URAM with weights; 0: run")
    yield number("first", "number of the first matrix")
    yield number("layers", "how many matrices, one after another")
    yield number("tokens", "tokens of every matrix")


def _manifest(
    design: HlsDesign, interface: Interface, command: Sequence[str], seed: int, files: Mapping[str, bytes]
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "versions": {"codesign": __version__, "python": platform.python_version(), "numpy": np.__version__},
        "command": list(command),
        "seed": seed,
        "design": harmless(design.title),
        "board": design.board.name,
        "part": design.board.part,
        "interface": interface.value,
        "top": TOP,
        "weights": {
            part.value: sum(m.parts[part].words for m in design.images.matrices if part in m.parts) for part in Part
        },
        "files": {
            name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for name, data in sorted(files.items())
        },
    }
