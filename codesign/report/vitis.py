"""What Vitis says of a kernel: its synthesis and co-simulation reports, read by the names of their elements.

csynth: ``<top>_csynth.xml`` (or ``csynth.xml``) below ``syn/report``: AreaEstimates/Resources, PerformanceEstimates
with SummaryOfTimingAnalysis, SummaryOfOverallLatency and SummaryOfLoopLatency. Co-simulation: an XML below
``sim/report`` with the same latency elements, or ``lat.rpt``, lines of ``$MAX_LATENCY = "…"``.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from codesign.errors import InputError
from codesign.files import read_text
from codesign.hardware.resources import Resources

_RESOURCES = {
    "lut": ("LUT",),
    "ff": ("FF",),
    "bram18": ("BRAM_18K",),
    "uram": ("URAM",),
    "dsp": ("DSP", "DSP48E"),
}
"""Our names, and those of newer and older Vitis."""


@dataclass(frozen=True)
class Loop:
    """One loop of a report; None where Vitis gives no number.

    Attributes:
        module: The function that it is in.
        name: Its name.
        interval: Trips begin so many cycles apart.
        depth: Cycles of one trip.
    """

    module: str
    name: str
    interval: int | None
    depth: int | None


@dataclass(frozen=True)
class Latency:
    """Cycles of a call; None where Vitis gives no number, because loop bounds depend on data."""

    best: int | None = None
    average: int | None = None
    worst: int | None = None


@dataclass(frozen=True)
class VitisReport:
    """What was found.

    Attributes:
        version: Of Vitis.
        top: The kernel.
        part: As synthesised for.
        target_ns, estimated_ns: Clock period asked for and reached.
        latency: Of synthesis.
        resources: Of synthesis.
        loops: Pipelined loops of every module.
        simulated: Cycles of co-simulation; None: there was none.
        files: What was read.
    """

    version: str | None
    top: str
    part: str | None
    target_ns: float | None
    estimated_ns: float | None
    latency: Latency
    resources: Resources
    loops: tuple[Loop, ...] = ()
    simulated: Latency | None = None
    files: tuple[Path, ...] = field(default=())


def read_vitis(folder: Path, top: str) -> VitisReport:
    """The reports of a kernel in a folder of Vitis.

    Args:
        folder: The work folder, or one above it.
        top: The kernel's name.

    Raises:
        InputError: There is no synthesis report of this kernel, or one cannot be read.
    """
    if not folder.is_dir():
        raise InputError("no such folder", file=folder, accepted="the folder that Vitis worked in")
    reports = sorted(path for path in folder.rglob("*csynth.xml") if path.is_file())
    roots = {path: _root(path) for path in reports}
    own = [path for path, root in roots.items() if root.findtext("UserAssignments/TopModelName") == top]
    # Every function has a report of its own, all with the same top: the kernel's bears its name.
    chosen = next((p for name in (f"{top}_csynth.xml", "csynth.xml") for p in own if p.name == name), None)
    if chosen is None:
        raise InputError(f"no csynth.xml of {top} here", file=folder, accepted="make csynth in the generated folder")
    root = roots[chosen]
    simulated = list(_simulations(folder))
    return VitisReport(
        version=root.findtext("ReportVersion/Version"),
        top=top,
        part=root.findtext("UserAssignments/Part"),
        target_ns=_float(root, chosen, "UserAssignments/TargetClockPeriod"),
        estimated_ns=_float(root, chosen, "PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod"),
        latency=_latency(root, chosen),
        resources=_resources(root, chosen),
        loops=tuple(loop for path in own if path.name != "csynth.xml" for loop in _loops(roots[path], path)),
        simulated=simulated[-1][1] if simulated else None,
        files=(chosen, *(path for path, _ in simulated[-1:])),
    )


def _root(path: Path) -> ET.Element:
    try:
        return ET.fromstring(read_text(path))
    except ET.ParseError as error:
        raise InputError(f"not valid XML: {error}", file=path) from None


def _int(root: ET.Element, path: Path, name: str) -> int | None:
    """A count; None where Vitis has a question mark or the like, or no such element."""
    text = (root.findtext(name) or "").strip()
    if not text or text.lower() in ("undef", "?", "-", "na", "n/a"):
        return None
    try:
        return int(text)
    except ValueError:
        raise InputError("not a number", file=path, field=name, value=text) from None


def _float(root: ET.Element, path: Path, name: str) -> float | None:
    text = root.findtext(name)
    try:
        return None if text is None else float(text)
    except ValueError:
        raise InputError("not a number", file=path, field=name, value=text) from None


def _latency(root: ET.Element, path: Path) -> Latency:
    prefix = "PerformanceEstimates/SummaryOfOverallLatency"
    return Latency(*(_int(root, path, f"{prefix}/{name}-caseLatency") for name in ("Best", "Average", "Worst")))


def _resources(root: ET.Element, path: Path) -> Resources:
    counts = {}
    for ours, names in _RESOURCES.items():
        found = [_int(root, path, f"AreaEstimates/Resources/{name}") for name in names]
        count = next((value for value in found if value is not None), None)
        if count is None and ours != "uram":  # devices without it have no such element
            raise InputError("this element is missing", file=path, field=f"AreaEstimates/Resources/{names[0]}")
        counts[ours] = count or 0
    return Resources(**counts)


def _loops(root: ET.Element, path: Path) -> Iterator[Loop]:
    module = path.name.removesuffix("_csynth.xml")
    summary = root.find("PerformanceEstimates/SummaryOfLoopLatency")
    for loop in summary.iter() if summary is not None else ():
        if loop.find("PipelineII") is not None:
            yield Loop(module, loop.tag, _int(loop, path, "PipelineII"), _int(loop, path, "PipelineDepth"))


def _simulations(folder: Path) -> Iterator[tuple[Path, Latency]]:
    """Co-simulation's latencies, the oldest report first."""
    reports = [path for pattern in ("*cosim*.xml", "lat.rpt") for path in folder.rglob(f"sim/report/**/{pattern}")]
    for path in sorted(set(reports), key=lambda path: path.stat().st_mtime_ns):
        if path.suffix == ".xml":
            found = _latency(_root(path), path)
        else:
            named: Mapping[str, str] = dict(re.findall(r'\$(\w+)\s*=\s*"?(\d+)"?', read_text(path)))
            names = ("MIN_LATENCY", "AVER_LATENCY", "MAX_LATENCY")
            found = Latency(*(int(named[name]) if name in named else None for name in names))
        if found != Latency():
            yield path, found
