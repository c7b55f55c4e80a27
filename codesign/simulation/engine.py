"""One run of the engine in simulation: build (cached by content), feed, run, read back."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codesign.boards import DspType
from codesign.codegen.rtl import REPEAT_BITS, engine_streams, has_tables, is_streamed, rtl_files
from codesign.errors import InputError
from codesign.hardware.accelerator import Accelerator
from codesign.hardware.timeline import ArrayTimes, ExternalMemory, ExternalPart, Job, JobTimes, Stalls, timeline
from codesign.packing.blocks import PackedMatrix
from codesign.packing.images import ImageSet, MatrixPlaces, Part, memory_text
from codesign.packing.streams import activation_beats, result_beats, results_of_beats, uram_beats
from codesign.packing.words import Words
from codesign.program.device import Encoder
from codesign.shipped import data_folder
from codesign.simulation.toolchain import compiles, plain_path, verilator_environment, verilator_version

BENCH = data_folder("sim") / "engine"
"""Harness and test of the engine."""


@dataclass(frozen=True)
class Bench:
    """What surrounds the engine: its top, its sources and the test module, these two below ``sim/engine``."""

    top: str
    sources: tuple[str, ...]
    test: str


FAST = Bench("harness", ("harness.vlt", "external_memory.sv", "harness.sv"), "test_engine")
"""Streams and memory in hardware: for long runs."""
AXI = Bench("engine_top", ("axi.vlt",), "test_axi")
"""Models of AXI in Python around the wrapper for Vivado, every channel with pauses: for the interfaces."""
FLAGS = ("--no-public-flat-rw", "-Wall", "-O3", "--x-initial", "unique")
"""Of Verilator."""
OPTIMISE_RUN = r"OPT_FAST=-O2\ -march=native"
"""The compiler's, for long runs: what Verilator's makefile takes."""
OPTIMISE_BUILD = "OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
"""For small designs, where compiling takes longer than the run."""
RANDOM_CONTENT = ("+verilator+rand+reset+2", "+verilator+seed+1")
"""What registers and memories without reset begin with: anything, as in hardware; the same in every run."""
SLACK = 1000
"""Cycles beyond the predicted ones after which a run counts as hung."""


@dataclass(frozen=True)
class Pauses:
    """How often the streams and external memory pause, of 256 cycles; never by default."""

    activations: int = 0
    results: int = 0
    reads: int = 0


@dataclass(frozen=True)
class EngineRun:
    """What a run is of.

    Attributes:
        accelerator: The array.
        dsp_type: Of the device.
        images: Of every matrix of the design.
        packed: Every matrix, in the order of the images.
        activations: Features × tokens of every matrix that is run, int8.
        first: Number of the first matrix that is run.
        repeats: How often they are run.
        pauses: Of the streams and of external memory.
        memory: External memory.
        seed: Of the pauses.
        rom_tiles: Read-only memories as one array per primitive.
        changed: (source, text, what stands there instead): faults that are planted.
        encoder: The program of a whole encoder, whose sentence ``activations`` then is.
        netlist: The engine as a netlist, which is built instead of its sources.
        misplaced: Whether the mark of a matrix's or sentence's last beat stands at the first one.
        registers: Whether every bit of every register is tried, before, during and after the run.
    """

    accelerator: Accelerator
    dsp_type: DspType
    images: ImageSet
    packed: Sequence[PackedMatrix]
    activations: Sequence[NDArray[np.int8]]
    first: int = 0
    repeats: int = 1
    pauses: Pauses = field(default_factory=Pauses)
    memory: ExternalMemory = field(default_factory=ExternalMemory)
    seed: int = 1
    rom_tiles: bool = False
    changed: tuple[tuple[str, str, str], ...] = ()
    encoder: Encoder | None = None
    netlist: str | None = None
    misplaced: bool = False
    registers: bool = False

    @property
    def tokens(self) -> int:
        """Of every matrix."""
        return int(self.activations[0].shape[1])

    @property
    def matrices(self) -> Sequence[PackedMatrix]:
        """Those that are run."""
        return self.packed[self.first : self.first + len(self.activations)]

    def predicted(self) -> list[JobTimes]:
        """When every job's phases begin or end, as the hardware model says, without pauses."""
        return self._array().times

    def predicted_stalls(self) -> Stalls:
        """What the array waits for, as the hardware model says, without pauses."""
        return self._array().stalls()

    def _array(self) -> ArrayTimes:
        places = self.images.matrices[self.first : self.first + len(self.activations)]
        jobs = [
            Job(m.block_columns, tuple(m.row_blocks.tolist()), external_part(self.images, place))
            for m, place in zip(self.matrices, places, strict=True)
        ]
        tables = has_tables(self.images)
        return timeline(
            self.accelerator,
            self.dsp_type,
            engine_streams(self.accelerator, self.images),
            jobs * self.repeats,
            self.tokens,
            tables=tables,
            memory=self.memory,
        )


def external_part(images: ImageSet, matrix: MatrixPlaces) -> ExternalPart | None:
    """What of a matrix lies in external memory; None: nothing."""
    if not is_streamed(images, matrix):
        return None
    index, channels, weights = (matrix.parts[part] for part in (Part.INDEX, Part.CHANNELS, Part.WEIGHTS))
    return ExternalPart(index.first, index.words + channels.words, weights.first, weights.words)


@dataclass(frozen=True)
class EngineResult:
    """What came out.

    Attributes:
        results: Features × tokens of every matrix of the last repeat, int8.
        times: When every job's phases began or ended, by the simulated clock.
        cycles: From the start to the last beat, by the engine's own counter.
        clock: The same, by the simulator's clock.
        stalls: Cycles that the array waited, by the engine's own counters: weights, activations, results.
        status: The status register.
        seconds: Wall time of the run itself.
        processor_seconds: Of the run itself, whatever else the machine did.
        build_seconds: The processor's for building; next to nothing where the simulator was there.
    """

    results: list[NDArray[np.int8]]
    times: list[JobTimes]
    cycles: int
    clock: int
    stalls: Stalls
    status: int
    seconds: float
    processor_seconds: float
    build_seconds: float


def counted_stalls(outcome: Mapping[str, Any]) -> Stalls:
    """The engine's own counters, of what the test has read."""
    return Stalls(outcome["stalls_weights"], outcome["stalls_activations"], outcome["stalls_results"])


Stage = Callable[[str], contextlib.AbstractContextManager[object]]
"""Shows what is going on while it does."""


def silent(_: str) -> contextlib.AbstractContextManager[object]:
    """A ``Stage`` that shows nothing."""
    return contextlib.nullcontext()


def simulate(
    run: EngineRun, work: Path, *, waves: bool = False, fast_build: bool = False, stage: Stage = silent
) -> EngineResult:
    """Build the engine where that is needed, and run it.

    Args:
        run: What to run.
        work: Folder for builds and runs.
        waves: Write a waveform beside the outcome: FST, or VCD where lz4.h is missing, which Verilator's FST needs.
        fast_build: Compile faster, run slower: for small designs.
        stage: Shows what is going on.

    Raises:
        InputError: No simulator, or the simulation failed; the message names its log.
    """
    beats = [activation_beats(run.accelerator, x) for x in run.activations]
    results = [result_beats(run.accelerator, np.zeros((m.out_features, run.tokens), np.int8)) for m in run.matrices]
    sizes = [len(part) for part in results]
    predicted = run.predicted()
    # One repeat in the file and in what is kept, so that the last repeat lies in order.
    room = {"IN_BEATS": sum(map(len, beats)), "OUT_BEATS": sum(sizes), "JOBS": len(beats) * run.repeats}
    simulator = prepare(run, work, room, waves=waves, fast=fast_build, stage=stage)
    found = run_built(
        run,
        simulator,
        beats,
        predicted[-1].sent,
        layers=len(run.activations),
        repeats=run.repeats,
        again=run.repeats,
        stage=stage,
    )
    times = found.lines("times.mem", 4)[: 5 * len(predicted)].view("<u4").reshape(-1, 5)
    kept = found.lines("results.mem", run.accelerator.stream_bits // 8)
    matrices, at = [], 0
    for matrix, size in zip(run.matrices, sizes, strict=True):
        matrices.append(results_of_beats(run.accelerator, kept[at : at + size], matrix.out_features, run.tokens))
        at += size
    outcome = found.outcome
    return EngineResult(
        matrices,
        [JobTimes(*(int(t) for t in row)) for row in times],
        outcome["cycles"],
        outcome["clock"],
        counted_stalls(outcome),
        outcome["status"],
        outcome["seconds"],
        outcome["processor_seconds"],
        simulator.build_seconds,
    )


@dataclass(frozen=True)
class Simulator:
    """An engine that has been built, with a folder to run in that has the content of its memories.

    Attributes:
        built: What was built.
        folder: Where it runs.
        loads: Whether URAM is loaded first.
        waves: Whether it writes a waveform.
        build_seconds: The processor's, for building.
        arguments: Given to it when it is run.
    """

    built: Path
    folder: Path
    loads: bool
    waves: bool
    build_seconds: float
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finished:
    """A run that is over.

    Attributes:
        folder: Where its files are.
        outcome: What the test has read of the engine.
    """

    folder: Path
    outcome: dict[str, Any]

    def lines(self, name: str, size: int) -> NDArray[np.uint8]:
        """Words of so many bytes that the harness has written."""
        return _hex_lines(self.folder / name, size)


def prepare(
    run: EngineRun,
    work: Path,
    parameters: Mapping[str, int],
    *,
    waves: bool = False,
    fast: bool = False,
    stage: Stage = silent,
) -> Simulator:
    """Build the engine where that is needed, and lay out the content of its memories.

    Args:
        run: What to run; its activations do not matter.
        work: Folder for builds.
        parameters: Of the harness, but for what follows from the images.
        waves: Write a waveform.
        fast: Compile faster, run slower.
        stage: Shows what is going on.

    Raises:
        InputError: No simulator, or it cannot be built; the message names the log.
    """
    uram = uram_beats(run.accelerator, run.images)
    _, external_bits, external = run.images.contents.get("ddr", (None, 8, np.zeros((0, 1), np.uint8)))
    sizes = {**parameters, "LOAD_BEATS": max(len(uram), 1), "EXTERNAL_BEATS": len(external) or 1}
    before = os.times()
    with stage(f"the engine, {run.accelerator.shape}: building the simulator with Verilator"):
        built = _build(FAST, run, sizes, work, waves=waves, fast=fast)
    after = os.times()
    build_seconds = sum(after[:4]) - sum(before[:4])  # of this process and of those that it started
    folder = built / "run"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in engine_files(run).items():
        if name.endswith(".mem"):
            (folder / name).write_bytes(data)
    (folder / "uram.mem").write_bytes(memory_text(uram, run.accelerator.stream_bits) or b"0\n")
    (folder / "external.mem").write_bytes(memory_text(external, external_bits) or b"0\n")
    return Simulator(built, folder, len(uram) > 0, waves, build_seconds)


def run_built(
    run: EngineRun,
    simulator: Simulator,
    beats: Sequence[Words],
    cycles: int,
    *,
    layers: int,
    repeats: int,
    again: int = 1,
    stage: Stage = silent,
) -> Finished:
    """Feed an engine that has been built, and run it.

    Args:
        run: What to run.
        simulator: Built for it, or for the same with other activations.
        beats: Of the stream in, of all matrices or sentences.
        cycles: Predicted ones; the run counts as hung some time after.
        layers: Steps of the array, for the register of this name.
        repeats: How often they are run, likewise.
        again: How often the beats are sent.
        stage: Shows what is going on.

    Raises:
        InputError: The simulation failed; the message names its log.
    """
    folder = simulator.folder
    (folder / "activations.mem").write_bytes(_marked(beats, first=run.misplaced))
    pausing = max(run.pauses.activations, run.pauses.results, run.pauses.reads)
    request = {
        "first_layer": run.first,
        "layers": layers,
        "repeats": repeats,
        "tokens": run.tokens,
        "load": simulator.loads,
        "in_total": sum(map(len, beats)) * again,
        "in_pause": run.pauses.activations,
        "out_pause": run.pauses.results,
        "read_pause": run.pauses.reads,
        "latency": run.memory.latency,
        "grow": run.memory.rate.numerator,
        "cost": run.memory.rate.denominator,
        "seed": run.seed or 1,
        "registers": run.registers
        and {
            "layers": len(run.encoder.program.array if run.encoder else run.packed),
            "max_tokens": run.accelerator.max_tokens,
            "repeat_bits": REPEAT_BITS,
        },
        "limit": (cycles + SLACK) * 256 // (256 - pausing) * (1 if pausing == 0 else 3),
    }
    (folder / "request.json").write_text(json.dumps(request))
    (folder / "outcome.json").unlink(missing_ok=True)
    with stage(f"the engine: running {len(beats)} inputs of {run.tokens} tokens"):
        _test(FAST, simulator.built, folder, waves=simulator.waves, arguments=simulator.arguments)
    if not (folder / "outcome.json").is_file():
        raise InputError("the simulation ended without an outcome", file=folder / "run.log")
    return Finished(folder, json.loads((folder / "outcome.json").read_text()))


def lint(run: EngineRun, work: Path) -> list[str]:
    """What Verilator says of a design's sources with all warnings on; nothing if they are clean."""
    folder = work / "lint"
    folder.mkdir(parents=True, exist_ok=True)
    sources = ["engine_pkg.sv"]
    for name, data in engine_files(run).items():
        (folder / name).write_bytes(data)
        if name.endswith((".sv", ".v")) and name not in sources:
            sources.append(name)
    with _environment({}):
        # The wrapper holds to the Verilog that its ending stands for.
        options = ["--lint-only", "-Wall", "+1364-2001ext+v", "--top-module", AXI.top]
        command = ["verilator", *options, *sources]
        told = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return [line for line in told.stderr.splitlines() if line.startswith("%")]


def engine_files(run: EngineRun) -> dict[str, bytes]:
    """Every file of the engine, with the faults that are planted."""
    files = rtl_files(run.accelerator, run.dsp_type, run.images, "", rom_tiles=run.rom_tiles, encoder=run.encoder)
    for name, text, instead in run.changed:
        files[name] = files[name].replace(text.encode(), instead.encode())
    if run.netlist is not None:
        kept = {name: data for name, data in files.items() if name == "engine_pkg.sv" or name.endswith(".mem")}
        files = {**kept, "netlist.v": run.netlist.encode()}
    return files


def _marked(beats: Sequence[Words], *, first: bool) -> bytes:
    """The source's file: beats with the mark of a matrix's last one (or wrongly of its first) above them."""
    words = np.concatenate(beats)
    mark = np.zeros((len(words), 1), np.uint8)
    ends = np.cumsum([len(part) for part in beats])
    mark[np.concatenate([[0], ends[:-1]]) if first else ends - 1] = 1
    return memory_text(np.concatenate([words, mark], axis=1), words.shape[1] * 8 + 1)


def _hex_lines(path: Path, size: int) -> Words:
    """The words of a file that $writememh wrote, ``size`` bytes each, the lowest first."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith(("@", "//"))]
    data = np.frombuffer(bytes.fromhex("".join(line.replace("x", "0").zfill(2 * size) for line in lines)), np.uint8)
    return np.ascontiguousarray(data.reshape(-1, size)[:, ::-1])


def simulate_interfaces(run: EngineRun, expected: Sequence[NDArray[np.integer[Any]]], work: Path) -> None:
    """Run the tests of the engine's interfaces: cocotbext-axi's models, pauses, refusals, reset.

    Args:
        run: What to run.
        expected: Features × tokens of every matrix.
        work: Folder for builds and runs.

    Raises:
        InputError: A test failed; the message names its log.
    """
    built = _build(AXI, run, {}, work, waves=False, fast=True)
    folder = built / "run"
    folder.mkdir(exist_ok=True)
    for name, data in engine_files(run).items():
        if name.endswith(".mem"):
            (folder / name).write_bytes(data)
    ports = 0
    if "ddr" in run.images.contents:
        ports, (_, _, beats) = run.accelerator.axi_ports, run.images.contents["ddr"]
        for port, part in enumerate(np.split(beats, ports, axis=1)):
            (folder / f"external.{port}.bin").write_bytes(part.tobytes())
    (folder / "uram.bin").write_bytes(uram_beats(run.accelerator, run.images).tobytes())
    names = [matrix.name for matrix in run.images.matrices]
    for name, x, y in zip(names, run.activations, expected, strict=True):
        (folder / f"{name}.in.bin").write_bytes(activation_beats(run.accelerator, x).tobytes())
        (folder / f"{name}.out.bin").write_bytes(result_beats(run.accelerator, y.astype(np.int8)).tobytes())
        # What fills up blocks, groups and beats may be anything.
        care = result_beats(run.accelerator, np.ones(y.shape, np.int8))
        (folder / f"{name}.care.bin").write_bytes(care.tobytes())
    request = {
        "matrices": names,
        "tokens": run.tokens,
        "max_tokens": run.accelerator.max_tokens,
        "ports": ports,
        "seed": run.seed,
    }
    (folder / "request.json").write_text(json.dumps(request))
    _test(AXI, built, folder, waves=False)


def _build(
    bench: Bench, run: EngineRun, parameters: Mapping[str, int], work: Path, *, waves: bool, fast: bool
) -> Path:
    """The folder of a simulator for this design and these parameters: made once for the same content and tools."""
    files = {name: data for name, data in engine_files(run).items() if name.endswith((".sv", ".v"))}
    files |= {name: (BENCH / name).read_bytes() for name in bench.sources}
    if run.netlist is not None and "harness.sv" in files:
        # A netlist has one level, with the path of what was below in its names.
        flat = re.sub(rb"u_engine\.(\w+(?:\.\w+)*)", rb"u_engine.\\\1 ", files["harness.sv"])
        files["harness.sv"] = flat
    optimise = OPTIMISE_BUILD if fast else OPTIMISE_RUN
    flags = [
        *FLAGS,
        *(["-Wno-fatal"] if run.changed else []),
        *(["-Wno-fatal", "-Wno-lint", "-Wno-style"] if run.netlist is not None else []),
        *(["+define+CODESIGN_ENCODER"] if run.encoder else []),
        *(["--trace-fst"] if waves and compiles("#include <lz4.h>") else []),
    ]
    tools = (verilator_version(), version("cocotb"), optimise, waves)
    digest = hashlib.sha256(repr((bench, sorted(parameters.items()), tools, flags)).encode())
    for name, data in sorted(files.items()):
        digest.update(name.encode() + b"\0" + data)
    folder = work.resolve() / digest.hexdigest()[:16]
    if (folder / "built").is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    runtime = work.resolve() / f"runtime-{hashlib.sha256(repr((tools, flags)).encode()).hexdigest()[:16]}"
    with _place_to_build(folder) as place:
        source, model = place / "source", place / "model"
        source.mkdir(exist_ok=True)
        for name, data in files.items():
            (source / name).write_bytes(data)
        # The package first, what surrounds the engine last.
        order = ["engine_pkg.sv", *sorted(set(files) - {"engine_pkg.sv", *bench.sources}), *bench.sources]
        model.mkdir(exist_ok=True)
        _copy_objects(runtime, model)
        with _environment({"MAKEFLAGS": optimise}), _runner(folder / "build.log") as runner:
            runner.build(
                sources=[source / name for name in order],
                hdl_toplevel=bench.top,
                build_dir=model,
                parameters=parameters,
                build_args=flags,
                waves=waves,
                always=True,
                log_file=folder / "build.log",
            )
        runtime.mkdir(exist_ok=True)
        _copy_objects(model, runtime)
        for pattern in ("*.gch", "*.o", "*.a"):  # precompiled headers are 150 MB; of use to this one compilation
            for path in model.glob(pattern):
                path.unlink()
    (folder / "built").touch()
    return folder


@contextlib.contextmanager
def _place_to_build(folder: Path) -> Iterator[Path]:
    """Where a simulator is built that is to lie in a folder: there, or elsewhere where make cannot take its path.

    Raises:
        InputError: There is no other place: that of temporary files has such a path too.
    """
    if plain_path(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="codesign-") as name:
        place = Path(name).resolve()
        if not plain_path(place):
            raise InputError(
                "Verilator's makefile takes no such path, nor that of temporary files", file=folder,
                accepted="--work-dir, or TMPDIR, without spaces and quotes",
            )  # fmt: skip
        yield place
        for part in ("source", "model"):
            shutil.rmtree(folder / part, ignore_errors=True)
            shutil.move(place / part, folder / part)


def _copy_objects(source: Path, target: Path) -> None:
    """Verilator's own runtime, which is the same for every design, need not be compiled for each."""
    for path in source.glob("verilated*.o"):
        if not (target / path.name).exists():
            part = target / f"{path.name}.{os.getpid()}"
            part.write_bytes(path.read_bytes())
            # Newer than the makefile that is about to be written, which make would compile them again for.
            os.utime(part, times=(time.time() + 3600,) * 2)
            part.replace(target / path.name)


def _test(bench: Bench, built: Path, folder: Path, *, waves: bool, arguments: Sequence[str] = ()) -> None:
    log = folder / "run.log"
    from cocotb_tools.check_results import get_results

    with _environment({}), _runner(log) as runner:
        results = runner.test(
            test_module=bench.test,
            hdl_toplevel=bench.top,
            hdl_toplevel_lang="verilog",
            build_dir=built / "model",
            test_dir=folder,
            waves=waves,
            log_file=log,
            plusargs=[*RANDOM_CONTENT, *arguments],
        )
        # The runner itself looks at them under pytest only.
        count, failed = get_results(results)
        if failed:
            raise RuntimeError(f"{failed} of {count} tests")


@contextlib.contextmanager
def _runner(log: Path) -> Iterator[Any]:
    """The runner of cocotb for Verilator; its failures as one line that names the log."""
    from cocotb_tools.runner import get_runner

    runner = get_runner("verilator")
    runner.log.setLevel(logging.CRITICAL)
    try:
        yield runner
    except (SystemExit, RuntimeError) as error:
        lines = log.read_text().splitlines() if log.is_file() else []
        told = [line.strip() for line in lines if "Error:" in line and "raise " not in line]
        raise InputError(f"simulation failed: {told[0] if told else error}", file=log) from None


@contextlib.contextmanager
def _environment(more: Mapping[str, str]) -> Iterator[None]:
    """The process's environment with what the simulator needs."""
    before, own = dict(os.environ), verilator_environment()
    # The runner hands this path on to the simulator's Python.
    path, sys.path = sys.path, [*sys.path, str(BENCH)]
    flags = " ".join(part for part in (own.get("MAKEFLAGS"), more.get("MAKEFLAGS")) if part)
    os.environ.update(own | dict(more) | ({"MAKEFLAGS": flags} if flags else {}))
    try:
        yield
    finally:
        sys.path = path
        os.environ.clear()
        os.environ.update(before)
