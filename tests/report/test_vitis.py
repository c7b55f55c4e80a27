"""Reports of Vitis, written here by hand after the elements that its reports have."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from codesign.boards import load_board
from codesign.design.hardware import matrix_kernel
from codesign.errors import InputError
from codesign.hardware.resources import array_dsps, requantiser_dsps
from codesign.hardware.timeline import external_memory
from codesign.report.vitis import Latency, Loop, read_vitis
from codesign.report.vitis_text import vitis_text
from codesign.simulation.engine import EngineRun
from tests.conftest import Outcome

Run = Callable[..., Outcome]

TOP = """<profile>
  <ReportVersion><Version>2023.2</Version></ReportVersion>
  <UserAssignments>
    <unit>ns</unit><ProductFamily>zynquplus</ProductFamily><Part>xczu7ev-ffvc1156-2-e</Part>
    <TopModelName>codesign_engine</TopModelName>
    <TargetClockPeriod>3.33</TargetClockPeriod><ClockUncertainty>0.42</ClockUncertainty>
  </UserAssignments>
  <PerformanceEstimates>
    <PipelineType>no</PipelineType>
    <SummaryOfTimingAnalysis><unit>ns</unit><EstimatedClockPeriod>2.914</EstimatedClockPeriod></SummaryOfTimingAnalysis>
    <SummaryOfOverallLatency>
      <unit>clock cycles</unit>
      <Best-caseLatency>2</Best-caseLatency>
      <Average-caseLatency>undef</Average-caseLatency>
      <Worst-caseLatency>31000</Worst-caseLatency>
      <Interval-min>3</Interval-min><Interval-max>31001</Interval-max>
    </SummaryOfOverallLatency>
  </PerformanceEstimates>
  <AreaEstimates>
    <Resources><BRAM_18K>210</BRAM_18K><DSP>1350</DSP><FF>90000</FF><LUT>120000</LUT><URAM>7</URAM></Resources>
    <AvailableResources><BRAM_18K>624</BRAM_18K><DSP>1728</DSP><FF>460800</FF><LUT>230400</LUT></AvailableResources>
  </AreaEstimates>
</profile>
"""
CORE = """<profile>
  <UserAssignments><TopModelName>codesign_engine</TopModelName></UserAssignments>
  <PerformanceEstimates>
    <SummaryOfLoopLatency>
      <VITIS_LOOP_96_1>
        <TripCount><range><min>1</min><max>2673</max></range></TripCount><Latency>undef</Latency>
        <PipelineII>{interval}</PipelineII><PipelineDepth>31</PipelineDepth>
      </VITIS_LOOP_96_1>
    </SummaryOfLoopLatency>
  </PerformanceEstimates>
</profile>
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder of Vitis."""
    reports = tmp_path / "work" / "hls" / "syn" / "report"
    reports.mkdir(parents=True)
    (reports / "codesign_engine_csynth.xml").write_text(TOP)
    (reports / "csynth.xml").write_text(TOP)
    (reports / "compute_process_csynth.xml").write_text(CORE.format(interval=1))
    return tmp_path / "work"


def test_synthesis(work: Path) -> None:
    found = read_vitis(work, "codesign_engine")
    assert (found.version, found.part) == ("2023.2", "xczu7ev-ffvc1156-2-e")
    assert (found.target_ns, found.estimated_ns) == (3.33, 2.914)
    assert found.resources == {"lut": 120000, "ff": 90000, "bram18": 210, "uram": 7, "dsp": 1350}
    assert found.missing == ()
    assert found.latency == Latency(2, None, 31000)
    assert found.loops == (Loop("compute_process", "VITIS_LOOP_96_1", 1, 31),)
    assert found.simulated is None
    assert [path.name for path in found.files] == ["codesign_engine_csynth.xml"]


def test_order_and_place_of_elements_do_not_matter(work: Path) -> None:
    """Older Vitis calls DSPs DSP48E, devices without URAM have no element for it."""
    path = work / "hls" / "syn" / "report" / "codesign_engine_csynth.xml"
    text = TOP.replace("<DSP>1350</DSP>", "").replace("<URAM>7</URAM>", "<DSP48E>12</DSP48E>")
    path.write_text(text)
    found = read_vitis(work, "codesign_engine")
    assert found.resources == {"lut": 120000, "ff": 90000, "bram18": 210, "uram": 0, "dsp": 12}
    assert found.missing == ()


# What Vitis writes where it knows no number, and where it knows two.
UNKNOWN = ["N/A", "undef", "~0", "?", "-", "", "many", "nan", "1e999", "1 ~ "]


@pytest.mark.parametrize("text", UNKNOWN)
def test_a_number_that_is_not_given_refuses_nothing_else(work: Path, text: str) -> None:
    path = work / "hls" / "syn" / "report" / "codesign_engine_csynth.xml"
    path.write_text(TOP.replace("90000", text).replace("2.914", text).replace(">31000<", f">{text}<"))
    (path.parent / "compute_process_csynth.xml").write_text(CORE.format(interval=text))
    found = read_vitis(work, "codesign_engine")
    assert found.resources == {"lut": 120000, "ff": None, "bram18": 210, "uram": 7, "dsp": 1350}
    assert (found.target_ns, found.estimated_ns) == (3.33, None)
    assert found.latency == Latency(2, None, None)
    assert found.loops == (Loop("compute_process", "VITIS_LOOP_96_1", None, 31),)
    shown = f" ({text.strip()})" if text else ""
    assert found.missing == (
        f"EstimatedClockPeriod{shown}",
        f"FF{shown}",
        f"interval of compute_process, VITIS_LOOP_96_1{shown}",
    )


def test_ranges(work: Path) -> None:
    """The least is the best case, the most is the worst, and what the model's number is held against."""
    path = work / "hls" / "syn" / "report" / "codesign_engine_csynth.xml"
    text = TOP.replace(">2<", ">1 ~ 8<").replace(">undef<", ">1~9<").replace(">31000<", ">5 ~ 31000<")
    path.write_text(text.replace("90000", "80000 ~ 90000"))
    (path.parent / "compute_process_csynth.xml").write_text(CORE.format(interval="1 ~ 8"))
    found = read_vitis(work, "codesign_engine")
    assert found.latency == Latency(1, None, 31000)
    assert found.resources["ff"] == 90000
    assert found.loops[0].interval == 8
    assert found.missing == ()


def test_a_report_without_any_numbers(work: Path) -> None:
    path = work / "hls" / "syn" / "report" / "codesign_engine_csynth.xml"
    path.write_text(
        "<profile><UserAssignments><TopModelName>codesign_engine</TopModelName></UserAssignments></profile>"
    )
    found = read_vitis(work, "codesign_engine")
    assert set(found.resources.values()) == {None}
    assert set(found.missing) == {
        *("LUT", "FF", "BRAM_18K", "URAM", "DSP"),
        *("TargetClockPeriod", "EstimatedClockPeriod"),
    }


def test_another_functions_report_that_is_broken(work: Path) -> None:
    reports = work / "hls" / "syn" / "report"
    (reports / "store_process_csynth.xml").write_text("<profile>")
    (work / "hls" / "sim" / "report").mkdir(parents=True)
    (work / "hls" / "sim" / "report" / "x_cosim.xml").write_text("<profile>")
    found = read_vitis(work, "codesign_engine")
    assert found.resources["lut"] == 120000
    assert found.simulated is None
    assert [name.partition(" (not valid XML")[0] for name in found.missing] == [
        "store_process_csynth.xml",
        "x_cosim.xml",
    ]


def test_co_simulation(work: Path) -> None:
    reports = work / "hls" / "sim" / "report"
    (reports / "verilog").mkdir(parents=True)
    lat = reports / "verilog" / "lat.rpt"
    lat.write_text('$MAX_LATENCY = "24000"\n$MIN_LATENCY = "24000"\n$AVER_LATENCY = "24000"\n$MAX_THROUGHPUT = "1"\n')
    assert read_vitis(work, "codesign_engine").simulated == Latency(24000, 24000, 24000)
    newer = reports / "codesign_engine_cosim.xml"
    newer.write_text(
        "<profile><PerformanceEstimates><SummaryOfOverallLatency><Best-caseLatency>23900</Best-caseLatency>"
        "<Worst-caseLatency>24100</Worst-caseLatency></SummaryOfOverallLatency></PerformanceEstimates></profile>"
    )
    os.utime(lat, (1, 1))
    found = read_vitis(work, "codesign_engine")
    assert found.simulated == Latency(23900, None, 24100)
    assert found.files[-1] == newer


def test_what_is_wrong_is_told(work: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder; accepted: the folder that Vitis worked in"):
        read_vitis(tmp_path / "none", "codesign_engine")
    with pytest.raises(InputError, match=r"no csynth\.xml of other here; accepted: make csynth"):
        read_vitis(work, "other")
    path = work / "hls" / "syn" / "report" / "codesign_engine_csynth.xml"
    path.write_text(TOP[:300])
    with pytest.raises(InputError, match=r"codesign_engine_csynth\.xml: not valid XML"):
        read_vitis(work, "codesign_engine")


def test_the_command(codesign: Run, quantised: Callable[[str], Path], work: Path) -> None:
    told = codesign("report", quantised("bert"), "--vitis", work, "-o", work.parent / "page", "--overwrite")
    assert told.code == 0, told.err
    lines = {line.split("  ")[0]: line.split() for line in told.out.splitlines()}
    from codesign.design import read_design

    # The kernel has the matrices alone: less than the encoder's engine, its multipliers and requantisers.
    design, board = read_design(quantised("bert")), load_board("zcu104")
    document, a, dsp_type = design.document, design.document.matrix_engine, board.device.dsp_type
    resources, cycles = matrix_kernel(design, board)
    assert resources.dsp == array_dsps(a, dsp_type) + requantiser_dsps(a, dsp_type) < document.predicted.resources.dsp
    assert lines["LUT"][1:3] == [f"{resources.lut:,}", "120,000"]
    assert lines["DSP"][1:3] == [f"{resources.dsp:,}", "1,350"]
    assert "2.914" in lines["clock period, ns"]
    # By what is in the images, as simulation of matrices alone predicts.
    packed = [design.part(layer).packed for layer in document.layers]
    inputs = [np.zeros((one.in_features, a.max_tokens), np.int8) for one in packed]
    run = EngineRun(a, dsp_type, design.images, packed, inputs, memory=external_memory(a, board))
    assert cycles == run.predicted()[-1].sent
    assert f"{cycles:,}" in lines["cycles, all matrices (csynth)"]
    assert "2 to 31,000" in told.out
    assert "1 pipelined loops, 1 with an initiation interval of 1" in told.out
    report = work / "hls" / "syn" / "report" / "compute_process_csynth.xml"
    report.write_text(CORE.format(interval=2))
    report_of = read_vitis(work, "codesign_engine")
    lines_of = [part for part in vitis_text(document, resources, cycles, report_of) if isinstance(part, str)]
    assert "[bold red]compute_process, VITIS_LOOP_96_1[/]: an interval of 2; the model counts on 1" in lines_of
    # What is not there is named, here and on the page, and does not count as good.
    report.write_text(CORE.format(interval="undef"))
    top = report.with_name("codesign_engine_csynth.xml")
    top.write_text(TOP.replace("90000", "N/A").replace("2.914", "~0").replace(">2<", ">undef<").replace("31000", "?"))
    told = codesign("report", quantised("bert"), "--vitis", work, "-o", work.parent / "page", "--overwrite")
    assert told.code == 0, told.err
    lines = {line.split("  ")[0]: line.rstrip() for line in told.out.splitlines()}
    assert lines["FF"].split()[2:] == ["not", "given"]
    assert lines["clock period, ns"].endswith("not given")
    assert lines["cycles, all matrices (csynth)"].endswith("not given")
    assert lines["LUT"].split()[2] == "120,000"
    assert "1 pipelined loops, 0 with an initiation interval of 1" in told.out
    missing = "EstimatedClockPeriod (~0), FF (N/A), interval of compute_process, VITIS_LOOP_96_1 (undef)"
    assert f"not given by Vitis: {missing}" in told.out
    page = (work.parent / "page" / "report.html").read_text()
    assert f"Not given by Vitis: {missing}." in page
    assert "<td>not given</td>" in page
    told = codesign("report", quantised("bert"), "--vitis", work / "none", "--overwrite")
    assert (told.code, len(told.err.splitlines())) == (2, 1)
