"""The HLS core through an open HLS compiler, PandA-Bambu: ``make -C sim hls``.

The core of a small random design is compiled as C++ and compared with the integer model; where ``bambu`` is on the
PATH it is synthesised, and the Verilog that comes out is simulated under Verilator by the same testbench.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from codesign.boards import load_board
from codesign.codegen.hls import HlsDesign, hls_files
from codesign.errors import InputError
from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.simulation.hls import CORE, compile_program, design_of_runs
from codesign.simulation.random_designs import RandomMatrix, random_run
from codesign.simulation.toolchain import verilator_environment

ARRAY = Accelerator(
    rows=4,
    cols=4,
    lanes=2,
    weight_bits=8,
    dsp_packing=2,
    clock_mhz=200.0,
    max_tokens=6,
    weight_port_bits=64,
    axi_ports=0,
    axi_port_bits=64,
    requant_interval=2,
)
SHAPES = [RandomMatrix(9, 14, 0.5), RandomMatrix(6, 8, 0.6, table=True), RandomMatrix(10, 5, 0.0)]
OPTIONS = (
    "--top-fname=engine_core",
    "--compiler=I386_CLANG16",
    "-O2",
    "-std=c++14",
    "-DCODESIGN_HLS_BAMBU",
    "--generate-interface=INFER",
    "--simulate",
    "--simulator=VERILATOR",
    "--clock-period=5",
    "--device-name=xc7z020-1clg484-VVD",
)
"""For Bambu 2024.10."""
RIGHT = "CORE RIGHT"


def small_design(seed: int) -> HlsDesign:
    """What is synthesised: three matrices, one with an activation by table, one empty."""
    assert all(shape.memory is WeightMemory.BRAM for shape in SHAPES)
    return design_of_runs(load_board("zcu104"), [random_run(ARRAY, SHAPES, 5, seed)], "the core for Bambu")


def check_in_cpp(files: Mapping[str, bytes], folder: Path) -> str:
    """The core compiled as C++, as Bambu's compiler is told to: the verdict of its testbench.

    Raises:
        InputError: It does not compile, or an output differs.
    """
    # Pragmas are Bambu's to know; its headers, not those that stand in for them here, are Bambu's too.
    flags = ("-O1", "-DCODESIGN_HLS_BAMBU", "-Wno-unknown-pragmas", "-Wno-uninitialized", "-Wno-maybe-uninitialized")
    program, _ = compile_program(files, CORE, folder, flags, images=True)
    told = subprocess.run([program, folder], capture_output=True, text=True, check=False)
    return _verdict(told.stdout.splitlines(), folder)


def synthesise(folder: Path) -> list[str]:
    """Synthesise the core of a generated project with Bambu and simulate its Verilog; what is worth telling of it.

    Raises:
        InputError: Bambu failed, or an output of its Verilog differs; the message names the log.
    """
    work, log = folder / "bambu", folder / "bambu.log"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    # The testbench runs wherever Bambu likes.
    (folder / "tb" / "folder.hpp").write_text(f'#define CODESIGN_FOLDER "{folder}"\n')
    (folder / "core.txt").unlink(missing_ok=True)
    command = ["bambu", str(folder / "src" / "core_top.cpp"), *OPTIONS, f"-I{folder / 'src'}", f"-I{folder / 'tb'}"]
    with log.open("w") as stream:
        told = subprocess.run(
            [*command, f"--generate-tb={folder / 'tb' / 'core_testbench.cpp'}"],
            cwd=work,
            env=os.environ | verilator_environment(),
            stdout=stream,
            stderr=subprocess.STDOUT,
            check=False,
        )
    lines = log.read_text().splitlines()
    # Bambu's exit code is 0 also where its testbench's is not.
    refused = next((line for line in lines if "Returned error code" in line or line.startswith("error ->")), None)
    if told.returncode or refused:
        raise InputError(f"bambu failed: {refused or f'exit code {told.returncode}'}", file=log)
    written = folder / "core.txt"
    verdict = _verdict(written.read_text().splitlines() if written.is_file() else [], log)
    return [verdict, *(line.strip() for line in lines if "cycles" in line.lower())]


def _verdict(lines: list[str], where: Path) -> str:
    verdict = next((line for line in lines if line.startswith("CORE ")), "the testbench told nothing")
    if not verdict.startswith(RIGHT):
        raise InputError(verdict, file=where)
    return verdict


def main() -> int:
    """Check the core; exit code 2 if it is not as it must be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the design's numbers")
    parser.add_argument("--work-dir", type=Path, default=Path("build/sim/bambu"))
    given = parser.parse_args()
    folder = given.work_dir.resolve()
    files = hls_files(small_design(given.seed))
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    try:
        print(f"core of {ARRAY.shape} in C++: {check_in_cpp(files, folder)}")
        if shutil.which("bambu") is None:
            print(
                "no bambu on the PATH: the core was not synthesised (PandA-Bambu 2024.10 is what this is written for)"
            )
            return 0
        print("bambu: synthesis and simulation of its Verilog, some minutes", flush=True)
        for line in synthesise(folder):
            print(f"  {line}")
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
