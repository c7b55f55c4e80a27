"""What Vitis says of a kernel: its synthesis and co-simulation reports, read by the names of their elements.

csynth: ``<top>_csynth.xml`` (or ``csynth.xml``) below ``syn/report``: AreaEstimates/Resources, PerformanceEstimates
with SummaryOfTimingAnalysis, SummaryOfOverallLatency and SummaryOfLoopLatency. Co-simulation: an XML below
``sim/report`` with the same latency elements, or ``lat.rpt``, lines of ``$MAX_LATENCY = "…"``.

Vitis writes what it does not know in many ways (undef, N/A, ?, ~0), and some numbers as a range (1 ~ 8). What is
there is taken; what is not is named in ``VitisReport.missing`` and refuses nothing else.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from codesign.errors import InputError
from codesign.files import read_text

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
        interval: Trips begin so many cycles apart: of a range, the most.
        depth: Cycles of one trip: of a range, the most.
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
        resources: Of synthesis, by our names; None where Vitis gives no number.
        loops: Pipelined loops of every module.
        simulated: Cycles of co-simulation; None: there was none.
        files: What was read.
        missing: What Vitis gives no number of, with what stands there; reports that cannot be read.
    """

    version: str | None
    top: str
    part: str | None
    target_ns: float | None
    estimated_ns: float | None
    latency: Latency
    resources: Mapping[str, int | None]
    loops: tuple[Loop, ...] = ()
    simulated: Latency | None = None
    files: tuple[Path, ...] = ()
    missing: tuple[str, ...] = ()


def read_vitis(folder: Path, top: str) -> VitisReport:
    """The reports of a kernel in a folder of Vitis.

    Args:
        folder: The work folder, or one above it.
        top: The kernel's name.

    Raises:
        InputError: There is no synthesis report of this kernel, or it cannot be read.
    """
    if not folder.is_dir():
        raise InputError("no such folder", file=folder, accepted="the folder that Vitis worked in")
    missing: list[str] = []
    roots = {}
    names = (f"{top}_csynth.xml", "csynth.xml")
    for path in sorted(path for path in folder.rglob("*csynth.xml") if path.is_file()):
        try:
            roots[path] = _root(path)
        except InputError as error:
            if path.name == names[0]:
                raise
            missing.append(f"{path.name} ({error.problem})")
    own = [path for path, root in roots.items() if root.findtext("UserAssignments/TopModelName") == top]
    # Every function has a report of its own, all with the same top: the kernel's bears its name.
    chosen = next((p for name in names for p in own if p.name == name), None)
    if chosen is None:
        raise InputError(f"no csynth.xml of {top} here", file=folder, accepted="make csynth in the generated folder")
    root = roots[chosen]
    simulated = list(_simulations(folder, missing))
    return VitisReport(
        version=root.findtext("ReportVersion/Version"),
        top=top,
        part=root.findtext("UserAssignments/Part"),
        target_ns=_float(root, "UserAssignments/TargetClockPeriod", missing),
        estimated_ns=_float(root, "PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod", missing),
        latency=_latency(root),
        resources=_resources(root, missing),
        loops=tuple(loop for path in own if path.name != "csynth.xml" for loop in _loops(roots[path], path, missing)),
        simulated=simulated[-1][1] if simulated else None,
        files=(chosen, *(path for path, _ in simulated[-1:])),
        missing=tuple(missing),
    )


def _root(path: Path) -> ET.Element:
    try:
        return ET.fromstring(read_text(path))
    except ET.ParseError as error:
        raise InputError(f"not valid XML: {error}", file=path) from None


def _text(root: ET.Element, name: str) -> str:
    return (root.findtext(name) or "").strip()


def _told(name: str, text: str) -> str:
    """How a number that is not given is named."""
    return f"{name} ({text})" if text else name


def _span(text: str) -> tuple[int, int] | None:
    """(least, most) of a count or of a range of two; None for whatever is neither."""
    found = re.fullmatch(r"(\d+)(?:\s*~\s*(\d+))?", text)
    if found is None:
        return None
    first, second = int(found[1]), int(found[2] or found[1])
    return min(first, second), max(first, second)


def _most(root: ET.Element, name: str, called: str, missing: list[str]) -> int | None:
    """A count, or the most of a range of two."""
    text = _text(root, name)
    span = _span(text)
    if span is None:
        missing.append(_told(called, text))
    return span[1] if span else None


def _float(root: ET.Element, name: str, missing: list[str]) -> float | None:
    text = _text(root, name)
    if re.fullmatch(r"\d+(\.\d*)?", text):
        return float(text)
    missing.append(_told(name.rpartition("/")[2], text))
    return None


def _latency(root: ET.Element) -> Latency:
    """Of a range, the best is its least and the worst its most; what depends on data has none, which is no fault."""
    prefix = "PerformanceEstimates/SummaryOfOverallLatency"
    best, average, worst = (
        _span(_text(root, f"{prefix}/{name}-caseLatency")) for name in ("Best", "Average", "Worst")
    )
    return Latency(
        best[0] if best else None,
        average[0] if average and average[0] == average[1] else None,
        worst[1] if worst else None,
    )


def _resources(root: ET.Element, missing: list[str]) -> dict[str, int | None]:
    prefix = "AreaEstimates/Resources"
    found: dict[str, int | None] = {}
    for ours, names in _RESOURCES.items():
        name = next((name for name in names if _text(root, f"{prefix}/{name}")), names[0])
        if ours == "uram" and root.find(f"{prefix}/{name}") is None and root.find(prefix) is not None:
            found[ours] = 0  # devices without it have no such element
        else:
            found[ours] = _most(root, f"{prefix}/{name}", name, missing)
    return found


def _loops(root: ET.Element, path: Path, missing: list[str]) -> Iterator[Loop]:
    module = path.name.removesuffix("_csynth.xml")
    summary = root.find("PerformanceEstimates/SummaryOfLoopLatency")
    for loop in summary.iter() if summary is not None else ():
        if loop.find("PipelineII") is not None:
            interval = _most(loop, "PipelineII", f"interval of {module}, {loop.tag}", missing)
            depth = _span(_text(loop, "PipelineDepth"))
            yield Loop(module, loop.tag, interval, depth[1] if depth else None)


def _simulations(folder: Path, missing: list[str]) -> Iterator[tuple[Path, Latency]]:
    """Co-simulation's latencies, the oldest report first."""
    reports = [path for pattern in ("*cosim*.xml", "lat.rpt") for path in folder.rglob(f"sim/report/**/{pattern}")]
    for path in sorted(set(reports), key=lambda path: path.stat().st_mtime_ns):
        if path.suffix == ".xml":
            try:
                found = _latency(_root(path))
            except InputError as error:
                missing.append(f"{path.name} ({error.problem})")
                continue
        else:
            named: Mapping[str, str] = dict(re.findall(r'\$(\w+)\s*=\s*"?(\d+)"?', read_text(path)))
            names = ("MIN_LATENCY", "AVER_LATENCY", "MAX_LATENCY")
            found = Latency(*(int(named[name]) if name in named else None for name in names))
        if found != Latency():
            yield path, found
