"""The HLS kernel in C simulation: every bit as plain integers have it, every trip as the hardware model has it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codesign.boards import load_board
from codesign.codegen.hls import HlsDesign, Interface, hls_files
from codesign.errors import InputError
from codesign.simulation import bambu, fuzz_hls
from codesign.simulation import hls as simulation
from codesign.simulation.fuzz_hls import differences, drawn
from codesign.simulation.hls import (
    CORE,
    KERNEL,
    STANDARD,
    WARNINGS,
    compile_program,
    design_of_runs,
    hls_headers,
    simulate_kernel,
)
from codesign.simulation.random_designs import SMALL_ARRAY as ARRAY
from codesign.simulation.random_designs import RandomMatrix, random_run

FAST = ("-O1",)


def small(seed: int = 2, tokens: int = 10) -> HlsDesign:
    shapes = [RandomMatrix(14, 20, 0.6), RandomMatrix(9, 30, 0.3, table=True), RandomMatrix(6, 7, 0.0)]
    return design_of_runs(load_board("zcu104"), [random_run(ARRAY, shapes, tokens, seed)])


# 50 designs on 10 arrays, both interfaces by turns; among the arrays are one, two and four products per DSP48E2, two
# per DSP48E1, no, one and several ports of external memory.
@pytest.mark.parametrize("group", range(10))
def test_random_designs(group: int, simulators: Path) -> None:
    """More of them: make -C sim fuzz-hls."""
    design, interface = drawn(group, 5)
    found = simulate_kernel(design, simulators, interface=interface, flags=FAST)
    assert differences(found.matrices) == []
    assert len(found.matrices) == sum(len(run.results) for run in design.runs)
    assert all(m.outputs for m in found.matrices)


def test_what_the_random_designs_cover() -> None:
    kinds = {
        (d.board.device.dsp_type.value, d.accelerator.dsp_packing, d.accelerator.axi_ports)
        for d, _ in (drawn(group, 5) for group in range(10))
    }
    assert {(dsp, packing) for dsp, packing, _ in kinds} >= {("DSP48E2", 1), ("DSP48E2", 2), ("DSP48E2", 4)}
    assert {ports for _, _, ports in kinds} >= {0, 1, 4}


@pytest.mark.parametrize("group", [2, 5])
def test_the_sanitizers_find_nothing(group: int, simulators: Path) -> None:
    design, interface = drawn(group, 5)
    flags = ("-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    found = simulate_kernel(design, simulators, interface=interface, flags=flags)
    assert differences(found.matrices) == []


def test_a_design_with_nothing_on_chip(simulators: Path) -> None:
    design, interface = drawn(0, 2)
    assert set(design.images.contents) == {"ddr"}
    assert differences(simulate_kernel(design, simulators, interface=interface, flags=FAST).matrices) == []


def test_an_older_standard(tmp_path: Path) -> None:
    """Vitis compiles with C++14; without optimisation other warnings come up."""
    program, _ = compile_program(hls_files(small(), Interface.AXIS), KERNEL, tmp_path, ["-O0", "-std=c++14"])
    assert program.is_file()


@pytest.mark.skipif(shutil.which("clang++") is None, reason="needs clang++")
@pytest.mark.parametrize("group", range(4))
def test_clang_takes_every_source(group: int, tmp_path: Path) -> None:
    design, interface = drawn(group, 2)
    for name, data in hls_files(design, interface).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    options = [STANDARD, *WARNINGS, "-isystem", str(hls_headers()), "-Isrc", "-Itb"]
    for source in (*KERNEL, *CORE):
        told = subprocess.run(
            ["clang++", "-fsyntax-only", *options, source], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert (told.returncode, told.stderr) == (0, ""), source


def test_a_kernel_is_compiled_once(simulators: Path) -> None:
    simulate_kernel(small(), simulators, flags=FAST)
    again = simulate_kernel(small(), simulators, flags=FAST)
    assert again.compile_seconds == 0
    assert differences(again.matrices) == []


def test_what_differs_is_told(simulators: Path) -> None:
    design = small()
    (run,) = design.runs
    wrong = [run.results[0] ^ np.eye(*run.results[0].shape, dtype=np.int8), *run.results[1:]]
    found = simulate_kernel(replace(design, runs=[replace(run, results=wrong)]), simulators, flags=FAST)
    assert [m.mismatches for m in found.matrices] == [10, 0, 0]
    (told,) = differences(found.matrices)
    assert told.startswith("matrix 0: 10 of 140 results differ")


def test_trips_that_differ_are_told(simulators: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def longer(*arguments: object) -> dict[str, bytes]:
        files = hls_files(*arguments)  # type: ignore[arg-type]
        first, *rest = files["vectors/runs.txt"].split()
        files["vectors/runs.txt"] = b" ".join([first, *rest[:2], b"7", *rest[3:]])
        return files

    monkeypatch.setattr(simulation, "hls_files", longer)
    found = simulate_kernel(small(), simulators, flags=FAST)
    assert [m.right for m in found.matrices] == [False, True, True]
    assert found.matrices[0].predicted_trips == 7


FAULTS = [
    ("core.hpp", "&& written_group == group", ""),
    ("core.hpp", "first_block ? sums[r][l] : sum_t(before + sums[r][l])", "sum_t(before + sums[r][l])"),
    ("core.hpp", "requantise(drain_zero ? sum_t(0) : sum, channel)", "requantise(sum, channel)"),
    ("core.hpp", "slot_over && (!last || row_old)", "slot_over"),
    ("arithmetic.hpp", "low < 0 ? sum_t(high + 1) : sum_t(high)", "sum_t(high)"),
    ("arithmetic.hpp", "(wide >> shift) + (below & ap_int<64>(1))", "(wide >> shift)"),
]


@pytest.mark.parametrize(("source", "text", "instead"), FAULTS, ids=[text for _, text, _ in FAULTS])
def test_planted_faults_are_caught(
    source: str, text: str, instead: str, simulators: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One token group, four; block rows with several blocks, with one, with none."""
    shapes = [RandomMatrix(25, 30, 0.2), RandomMatrix(60, 90, 0.9)]
    runs = [random_run(ARRAY, shapes, tokens, 3) for tokens in (3, 12)]

    def faulty(*arguments: object) -> dict[str, bytes]:
        files = hls_files(*arguments)  # type: ignore[arg-type]
        code = files[f"src/{source}"].decode()
        assert text in code
        return files | {f"src/{source}": code.replace(text, instead).encode()}

    monkeypatch.setattr(simulation, "hls_files", faulty)
    flags = (*FAST, "-Wno-unused-variable", "-Wno-unused-but-set-variable")
    found = simulate_kernel(design_of_runs(load_board("zcu104"), runs), simulators, flags=flags)
    assert not all(m.right for m in found.matrices)


def test_what_cannot_be_compiled_or_run_is_told_in_a_line(
    simulators: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = hls_files(small())
    with pytest.raises(InputError, match=r"build\.log: does not compile: .*error"):
        compile_program(files | {"src/core.hpp": b"nonsense"}, KERNEL, tmp_path, FAST)
    monkeypatch.setattr(simulation, "hls_files", lambda *_: files | {"vectors/runs.txt": b"5 1 1 1\n"})
    with pytest.raises(InputError, match=r"run\.log: C simulation failed: .*not a run of this design: 5 1 1 1"):
        simulate_kernel(small(), simulators, flags=FAST)


def test_no_headers_and_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from codesign.simulation import toolchain

    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match=r"no g\+\+ on the PATH"):
        toolchain.hls_headers()
    monkeypatch.delenv("CXX")
    monkeypatch.delenv("XILINX_HLS", raising=False)
    monkeypatch.setattr(toolchain.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"no ap_int\.h for C simulation; accepted: Vitis on the PATH"):
        toolchain.hls_headers()
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "ap_int.h").touch()
    monkeypatch.setenv("XILINX_HLS", str(tmp_path))
    assert toolchain.hls_headers() == tmp_path / "include"


def test_many_random_designs_by_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], simulators: Path
) -> None:
    """The same numbers draw the same designs, and one number alone is one design."""
    told = []
    for count in (3, 1):
        arguments = ["fuzz_hls", "--seed", "8", "--count", str(count), "--work-dir", str(simulators)]
        monkeypatch.setattr("sys.argv", arguments)
        assert fuzz_hls.main() == 0
        told.append(capsys.readouterr().out)
    assert "designs 8 to 10; one again: --seed NUMBER --count 1" in told[0]
    assert "3 of 3 as they must be" in told[0]
    assert "1 of 1 as they must be" in told[1]


def test_the_core_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """As C++ with the images compiled in; where there is no Bambu, that is said."""
    monkeypatch.setattr("sys.argv", ["bambu", "--work-dir", str(tmp_path / "work")])
    monkeypatch.setattr(bambu.shutil, "which", lambda name: None if name == "bambu" else f"/bin/{name}")
    assert bambu.main() == 0
    told = capsys.readouterr().out
    assert "core of 4×4×2 in C++: CORE RIGHT: 0 of 125 outputs differ" in told
    assert "no bambu on the PATH" in told


@pytest.fixture
def fake_bambu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A program of that name that prints something and leaves the testbench's verdict."""

    def make(script: str) -> Path:
        tool = tmp_path / "bin" / "bambu"
        tool.parent.mkdir(exist_ok=True)
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tool.parent}:/usr/bin:/bin")
        folder = tmp_path / "project"
        (folder / "tb").mkdir(parents=True, exist_ok=True)
        return folder

    return make


def test_what_bambu_says(fake_bambu: Callable[[str], Path]) -> None:
    folder = fake_bambu('echo "Total cycles : 97"; echo "CORE RIGHT: 0 of 125 outputs differ" > ../core.txt')
    assert bambu.synthesise(folder) == ["CORE RIGHT: 0 of 125 outputs differ", "Total cycles : 97"]
    # It ends with 0 whatever its testbench found.
    folder = fake_bambu('echo "Returned error code!"; echo "CORE WRONG: 3 of 125 outputs differ" > ../core.txt')
    with pytest.raises(InputError, match=r"bambu\.log: bambu failed: Returned error code!"):
        bambu.synthesise(folder)
    folder = fake_bambu('echo "CORE WRONG: 3 of 125 outputs differ" > ../core.txt')
    with pytest.raises(InputError, match="CORE WRONG: 3 of 125 outputs differ"):
        bambu.synthesise(folder)
    folder = fake_bambu("true")
    with pytest.raises(InputError, match="the testbench told nothing"):
        bambu.synthesise(folder)
