"""C simulation of the generated HLS kernel: compile (cached by content), run on vectors, read what it found."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.boards import Board
from codesign.codegen.hls import Features, HlsDesign, Interface, VectorRun, hls_files
from codesign.design.content import Design
from codesign.errors import InputError
from codesign.simulation.engine import EngineRun
from codesign.simulation.toolchain import hls_headers
from codesign.simulation.trace import Traced

WARNINGS = ("-Wall", "-Wextra", "-Werror")
STANDARD = "-std=c++17"
KERNEL = ("src/engine.cpp", "tb/testbench.cpp")
CORE = ("src/core_top.cpp", "tb/core_testbench.cpp")


@dataclass(frozen=True)
class KernelMatrix:
    """One matrix of one run in C simulation.

    Attributes:
        run: Number of the run.
        matrix: Number of the matrix.
        trips: Of the core's pipelined loop, as the kernel counted them.
        predicted_trips: The same of the hardware model.
        outputs: Results compared.
        mismatches: Of these, how many differ from the integer model's.
    """

    run: int
    matrix: int
    trips: int
    predicted_trips: int
    outputs: int
    mismatches: int

    @property
    def right(self) -> bool:
        """No bit and no trip differs."""
        return not self.mismatches and self.trips == self.predicted_trips


@dataclass(frozen=True)
class KernelOutcome:
    """What C simulation gave, with the wall times of compiling (0: it was there) and running, in seconds."""

    matrices: tuple[KernelMatrix, ...]
    compile_seconds: float
    seconds: float


def design_of(design: Design, board: Board, traced: Mapping[str, Traced]) -> HlsDesign:
    """A design folder as the generator wants it, with one run of all its matrices on what real sentences give."""
    document = design.document
    layers = document.layers
    run = _vectors(
        0,
        [traced[layer.key].read for layer in layers],
        [traced[layer.key].given for layer in layers],
    )
    packed = [design.part(layer).packed for layer in layers]
    title = f"{document.model} on {document.board}"
    features = [Features(layer.in_features, traced[layer.key].inputs, traced[layer.key].whole) for layer in layers]
    return HlsDesign(title, board, document.matrix_engine, design.images, packed, [run], features)


def design_of_runs(
    board: Board, runs: Sequence[tuple[EngineRun, Sequence[NDArray[np.int64]]]], title: str = "random"
) -> HlsDesign:
    """Runs of the same images, each with what its matrices must give, as the generator wants them."""
    first, _ = runs[0]
    vectors = [_vectors(run.first, run.activations, expected) for run, expected in runs]
    return HlsDesign(title, board, first.accelerator, first.images, first.packed, vectors)


def _vectors(
    first: int,
    activations: Sequence[NDArray[np.int8]],
    results: Sequence[NDArray[Any]],
) -> VectorRun:
    return VectorRun(first, activations[0].shape[1], activations, [y.astype(np.int8) for y in results])


def simulate_kernel(
    design: HlsDesign,
    work: Path,
    *,
    interface: Interface = Interface.M_AXI,
    flags: Sequence[str] = ("-O2",),
) -> KernelOutcome:
    """Compile the kernel of a design where that is needed, and run its testbench.

    Args:
        design: What to run.
        work: Folder for builds and runs.
        interface: Of the kernel.
        flags: For the compiler, besides warnings and standard.

    Raises:
        InputError: No compiler, no headers, or the simulation failed; the message names its log.
    """
    files = hls_files(design, interface)
    program, compile_seconds = compile_program(files, KERNEL, work, flags)
    folder = program.parent / "run"
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        if name.startswith("vectors/") or (name.startswith("weights/") and name.endswith(".bin")):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    began = time.perf_counter()
    told = subprocess.run([program, folder], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    log = program.parent / "run.log"
    log.write_text(told.stdout + told.stderr)
    matrices = tuple(_matrices(told.stdout))
    if told.returncode not in (0, 1) or told.stderr or len(matrices) != sum(len(r.results) for r in design.runs):
        raise InputError(f"C simulation failed: {(told.stderr.splitlines() or ['no results'])[0]}", file=log)
    return KernelOutcome(matrices, compile_seconds, seconds)


def _matrices(text: str) -> list[KernelMatrix]:
    """The lines of the testbench's table."""
    found = []
    for line in text.splitlines():
        if line.startswith("run "):
            fields = dict(part.rsplit(" ", 1) for part in line.split("\t")[:6])
            keys = ("run", "matrix", "trips", "model", "outputs", "mismatches")
            found.append(KernelMatrix(*(int(fields[key]) for key in keys)))
    return found


def compile_program(
    files: Mapping[str, bytes],
    sources: Sequence[str],
    work: Path,
    flags: Sequence[str],
    *,
    images: bool = False,
) -> tuple[Path, float]:
    """A program of a generated project, made once for the same content; and the seconds that this took.

    Args:
        files: Of the project.
        sources: What is compiled.
        work: Folder for builds.
        flags: For the compiler, besides warnings and standard.
        images: Whether memory images are compiled in, as in synthesis, rather than loaded.

    Raises:
        InputError: No compiler, no headers, or it does not compile; the message names the log.
    """
    headers = hls_headers()
    compiler = os.environ.get("CXX", "g++")
    folders = ("src/", "tb/", "weights/") if images else ("src/", "tb/")
    code = {name: data for name, data in files.items() if name.startswith(folders)}
    options = [STANDARD, *flags, *WARNINGS, "-isystem", str(headers), "-Isrc", "-Itb"]
    digest = hashlib.sha256(repr((compiler, options, sources)).encode())
    for name, data in sorted(code.items()):
        digest.update(name.encode() + b"\0" + data)
    folder = work.resolve() / f"hls-{digest.hexdigest()[:16]}"
    program = folder / "program"
    if program.is_file():
        return program, 0.0
    for name, data in code.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    # One unit of compilation: most of a compiler's time goes into the headers, which are read once so.
    (folder / "all.cpp").write_text("".join(f'#include "{source}"\n' for source in sources))
    began = time.perf_counter()
    log = folder / "build.log"
    with log.open("w") as stream:
        command = [compiler, *options, "all.cpp", "-o", "linked"]
        good = not subprocess.run(command, cwd=folder, stdout=stream, stderr=stream, check=False).returncode
    if not good:
        lines = [line for line in log.read_text().splitlines() if "error" in line]
        raise InputError(f"does not compile: {(lines or ['see there'])[0]}", file=log)
    (folder / "linked").replace(program)
    return program, time.perf_counter() - began
