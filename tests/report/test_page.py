"""``codesign report``: the page of a tiny design, with and without what can be known of it."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image
from safetensors.numpy import load_file

from codesign.boards import load_board
from codesign.checksums import sealed
from codesign.design.folder import read_design
from codesign.hardware.cycles import pipeline_stages
from codesign.program.timeline import StepTimes, occupied
from codesign.report.charts import accuracy, cycles, timeline
from codesign.report.facts import read_facts
from tests.conftest import Outcome
from tests.report.test_vitis import CORE, TOP

Run = Callable[..., Outcome]
VOID = {"meta", "br", "img", "hr", "link", "input"}
CHARTS = {"accuracy", "timeline", "cycles", "roofline", "resources", "density", "blocks", "memory", "noise"}


@dataclass
class Page(HTMLParser):
    """A page's tables, text and pictures; fails where tags do not match."""

    open: list[str] = field(default_factory=list)
    tables: list[list[list[str]]] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    pictures: int = 0
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href", "xlink:href"):
            # What it needs is in it: pixels as data, or parts of the same figure.
            assert (given.get(name) or "#").startswith(("data:", "#"))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag == "svg":
            self.pictures += 1
            assert given["role"] == "img"
            assert given["aria-label"]
        if "bad" in (given.get("class") or "").split():
            self.bad.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open[-2:] or "th" in self.open[-2:]:
            self.tables[-1][-1][-1] += data.strip()
        if "style" not in self.open:
            self.text += data


def read(folder: Path) -> Page:
    text = (folder / "report.html").read_text()
    # No address is fetched: those of SVG are names.
    assert set(re.findall(r"https?://[^\"' <)]*", text)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert "nan" not in re.sub(r"data:image/png;base64,[^\"]*", "", text).lower()
    page = Page()
    page.feed(text)
    assert not page.open
    assert page.pictures == len(CHARTS)
    return page


@pytest.fixture
def design(quantised: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy, to be changed."""
    folder = tmp_path / "design"
    shutil.copytree(quantised("bert"), folder, ignore=shutil.ignore_patterns("sim.json", "report"))
    return folder


def simulated(design: Path, **changes: Any) -> dict[str, Any]:
    """A sim.json as simulation would write it, with made-up times; ``changes`` go into its total."""
    document = yaml.safe_load((design / "design.yaml").read_text())
    layers = [
        {
            "name": layer["name"],
            "nonzero_blocks": layer["nonzero_blocks"],
            "predicted_cycles": layer["predicted_cycles"],
            "counted_cycles": layer["predicted_cycles"],
            "utilisation": 0.5,
            "outputs": layer["out_features"] * document["tokens"],
            "mismatches": 0,
            "hls_mismatches": 0,
            "hls_trips": 77,
            "hls_predicted_trips": 77,
        }
        for layer in document["layers"]
    ]
    total = {
        "predicted_cycles": 24680,
        "counted_cycles": 24680,
        "clock_cycles": 24680,
        "dense_cycles": 49360,
        "stall_cycles": {"weights": 0, "activations": 13, "results": 0},
        "utilisation": 0.5,
        "mismatches": 0,
        "moments_off": 0,
        "hls_mismatches": 0,
        "macs_per_second": 1e8,
        "seconds": 1.0,
        "hls_seconds": 1.0,
    }
    sentence = {
        "tokens": document["tokens"],
        "predicted_cycles": 24680,
        "counted_cycles": 24680,
        "outputs": 99999,
        "mismatches": 0,
        "moments_off": 0,
        "label": "positive",
        "integer_label": "positive",
        "seconds": 1.0,
    }
    content = {
        "format": "codesign-sim-3",
        "design": document["checksum"],
        "sentences": [sentence],
        "steps": [],
        "layers": layers,
        "total": total | changes,
        "external_memory": None,
    }
    seal(design, content)
    return content


def seal(design: Path, content: dict[str, Any]) -> None:
    """Write sim.json as what wrote it would have."""
    (design / "sim.json").write_text(json.dumps(sealed(content)))


def test_a_page_without_simulation(codesign: Run, design: Path) -> None:
    told = codesign("report", design)
    assert told.code == 0, told.err
    assert f"make -C sim DESIGN={design}" in told.out
    page = read(design / "report")
    document = yaml.safe_load((design / "design.yaml").read_text())
    metrics = json.loads((design / "metrics.json").read_text())
    # The same prediction as quantize and prune made.
    assert f"{document['predicted']['cycles']:,} predicted for 1 × {document['tokens']} tokens" in told.out
    assert f"{metrics['predicted_speedup']:.2f}× over the dense encoder" in told.out
    assert f"{metrics['predicted']['cycles']:,}" in page.text
    assert f"Not simulated yet: make -C sim DESIGN={design}" in page.text
    # A row per matrix, with what design.yaml says.
    scores, layers, resources = page.tables
    assert scores[0] == ["points", "densePyTorch", "prunedPyTorch", "integerinteger"]
    first = metrics["all_metrics"]["integer"]["validation"][metrics["metric"]]
    assert scores[1][0] == f"{metrics['metric']}, validation"
    assert scores[1][-1] == f"{first:.2f}"
    assert len(layers) == 1 + len(document["layers"])
    for row, layer in zip(layers[1:], document["layers"], strict=True):
        assert row[0] == layer["name"]
        assert row[2] == f"{layer['nonzero_blocks']:,} of {layer['blocks']:,}"
        assert row[5] == f"{layer['predicted_cycles']:,}"
    # Block rows and columns without blocks, counted by their numbers.
    stored = load_file(design / "weights.safetensors")
    keys = [layer["key"] for layer in document["layers"]]
    rows = sum(int((stored[f"{key}.weight.row_blocks"] == 0).sum()) for key in keys)
    read_columns = sum(len(set(stored[f"{key}.weight.columns"].tolist())) for key in keys)
    columns = sum(-(-layer["in_features"] // document["accelerator"]["cols"]) for layer in document["layers"])
    assert rows
    assert f" {rows:,} of {sum(len(stored[f'{k}.weight.row_blocks']) for k in keys):,} block rows" in page.text
    assert f" {columns - read_columns:,} of {columns:,} block columns have no blocks" in page.text
    # The same resources as in design.yaml, counted anew from masks and memories.
    names = {"LUT": "lut", "FF": "ff", "BRAM18": "bram18", "URAM": "uram", "DSP": "dsp"}
    for row in resources[1:]:
        assert row[1] == f"{document['predicted']['resources'][names[row[0]]]:,}"
    assert not page.bad
    for name in CHARTS:
        with Image.open(design / "report" / f"{name}.png") as picture:
            assert picture.width > 500


def test_the_time_line_of_a_sentence(design: Path) -> None:
    facts = read_facts(read_design(design), load_board("zcu104"))
    document = facts.design.document
    chart = timeline(facts)
    cycles_of_all = document.predicted.cycles
    assert chart.text.startswith(f"Of {cycles_of_all:,} cycles: weight matrices ")
    whole, layer = chart.figure.axes
    assert [text.get_text() for text in whole.get_yticklabels()] == [
        *("embeddings in", "LayerNorm", "softmax", "attention products", "weight matrices"),
    ]
    assert whole.get_title("left") == f"{document.shape.layers} layers, {document.tokens} tokens"
    assert layer.get_title("left") == "layer 1"
    # From the start, where embeddings come in, to the last results, whose beats leave a few cycles later.
    begin, end = whole.get_xlim()
    assert 0 <= begin < 10
    assert cycles_of_all - 40 < end <= cycles_of_all
    # By unit: what it does one after another never takes longer than the sentence, and fills most of it.
    shares = [int(part) for part in re.findall(r"(\d+)%", chart.text)]
    assert len(shares) == 5
    assert all(shares)
    assert 50 < sum(shares[:2]) <= 100
    assert sum(shares[2:]) <= 100


def test_a_step_has_its_unit_until_the_next_one_enters() -> None:
    moments = [StepTimes(0, 10), StepTimes(6, 12), StepTimes(20, 25)]
    assert list(occupied(moments)) == [(0, 6), (6, 12), (20, 25)]


def test_a_page_with_simulation(codesign: Run, design: Path) -> None:
    simulated(design)
    told = codesign("report", design, "-o", design.parent / "page")
    assert told.code == 0, told.err
    assert "24,680 predicted, 24,680 in simulated RTL: equal" in told.out
    document = yaml.safe_load((design / "design.yaml").read_text())
    a = document["accelerator"]
    tokens, shape, cycles = document["tokens"], document["shape"], document["predicted"]["cycles"]
    macs = sum(layer["nonzero_blocks"] for layer in document["layers"]) * a["rows"] * a["cols"] * tokens
    # Scores and contexts: a multiply-accumulate for every feature, query and key.
    macs += 2 * shape["layers"] * shape["hidden"] * tokens**2
    assert f"{macs * document['batch'] / (a['rows'] * a['cols'] * a['lanes'] * cycles):.1%}" in told.out
    page = read(design.parent / "page")
    assert "99,999 outputs of all steps of whole sentences, 24,680 cycles" in page.text
    assert f"{document['predicted']['dense_cycles'] / cycles:.2f}×" in page.text
    assert f"{cycles / a['clock_mhz'] / 1000:.3f} ms" in page.text
    assert "waited 13 cycles for activations" in page.text
    assert not page.bad
    assert page.tables[1][0][5:] == [
        *("cyclesmodel", "cyclesRTL", "utilisationRTL", "tripsmodel", "tripsHLS"),
        *("outputsinteger", "differRTL", "differHLS"),
    ]


@pytest.mark.parametrize("what", ["mismatches", "cycles", "trips"])
def test_what_is_not_as_it_must_be_stands_out(codesign: Run, design: Path, what: str) -> None:
    total = {"mismatches": {"mismatches": 3}, "cycles": {"counted_cycles": 24681}}.get(what, {})
    content = simulated(design, **total)
    layer = content["layers"][1]
    if what == "trips":
        layer["hls_trips"] += 1
    if what == "mismatches":
        layer["mismatches"] = 3
    if what == "cycles":
        layer["counted_cycles"] += 1
    seal(design, content)
    told = codesign("report", design)
    assert told.code == 0, told.err
    assert "not as it must be" in told.out
    page = read(design / "report")
    assert "Simulated, and not as it must be" in page.text
    # The verdict and the cell.
    assert sorted(page.bad) == ["p", "td"]


def test_vitis_stands_beside_the_model(codesign: Run, design: Path) -> None:
    reports = design.parent / "work" / "syn" / "report"
    reports.mkdir(parents=True)
    (reports / "codesign_engine_csynth.xml").write_text(TOP)
    (reports / "compute_process_csynth.xml").write_text(CORE.format(interval=2))
    told = codesign("report", design, "--vitis", design.parent / "work")
    assert told.code == 0, told.err
    page = read(design / "report")
    assert page.tables[2][0] == ["", "enginemodel", "usableboard file", "part", "HLS kernelVitis", "part"]
    assert page.tables[2][1][4] == "120,000"
    assert "1 pipelined loops, 1 of them with an initiation interval above 1" in page.text


def test_other_runs_of_the_same_task_are_compared(codesign: Run, design: Path) -> None:
    other = design.parent / "other"
    other.mkdir()
    metrics = json.loads((design / "metrics.json").read_text())
    metrics["compression"]["encoder"] = 7.25
    (other / "metrics.json").write_text(json.dumps(metrics))
    assert codesign("report", design).code == 0
    alone = (design / "report" / "accuracy.png").read_bytes()
    told = codesign("report", design, "--compare", other, "--overwrite")
    assert told.code == 0, told.err
    assert (design / "report" / "accuracy.png").read_bytes() != alone
    assert "7×" in (design / "report" / "report.html").read_text()
    metrics["task"] = "another"
    (other / "metrics.json").write_text(json.dumps(metrics))
    told = codesign("report", design, "--compare", other, "--overwrite")
    assert (told.code, len(told.err.splitlines())) == (2, 1)
    assert f"{other / 'metrics.json'}: task: only scores of the same task can stand in one figure" in told.err


def test_bars_of_all_blocks_are_of_the_same_measure(design: Path) -> None:
    """A fully kept matrix has a bar as high as that of all its blocks, and no other has a higher one."""
    found = read_design(design)
    facts = read_facts(found, load_board(found.document.board))
    (axes,) = [axes for axes in cycles(facts).figure.axes if axes.get_ylabel() == "cycles"]
    dense = [bar.get_height() for bar in axes.containers[0]]
    a, document = found.document.accelerator, found.document
    groups = -(-document.tokens // a.lanes)
    for layer, height in zip(document.layers, dense, strict=True):
        assert height >= layer.predicted_cycles
        # By hand: every block row holds the array for its blocks' token groups, or for its requantisation.
        rows, columns = -(-layer.out_features // a.rows), -(-layer.in_features // a.cols)
        fetch = -(-a.rows * a.cols * a.weight_bits // a.weight_port_bits)
        row = max(columns * max(groups, fetch), groups * a.requant_interval)
        # Then the last row's results pass, and what follows from them: sums and squares of R / Q features.
        stages = pipeline_stages(a, facts.board.device.dsp_type) + a.rows // a.requant_interval + 4
        assert height == rows * row + groups * a.requant_interval + stages
    whole = [i for i, layer in enumerate(document.layers) if layer.nonzero_blocks == layer.blocks]
    assert whole, "the design has a fully kept matrix"
    assert all(dense[i] == document.layers[i].predicted_cycles for i in whole)


@pytest.mark.parametrize("score", [100.0, 61.5])
def test_no_axis_shows_scores_that_there_are_not(design: Path, score: float) -> None:
    read = read_design(design)
    facts = read_facts(read, load_board(read.document.board))
    scores = facts.metrics.model_copy(update=dict.fromkeys(("dense", "pruned", "integer"), score))
    (axes,) = accuracy(dataclasses.replace(facts, metrics=scores)).figure.axes
    low, high = axes.get_ylim()
    assert low < score < high
    assert max(tick for tick in axes.get_yticks() if tick <= high) <= 100
    assert high - low >= 1  # tenths of a point shall not look like a cliff


def test_the_same_design_gives_the_same_bytes(codesign: Run, design: Path) -> None:
    simulated(design)
    for name in ("a", "b"):
        assert codesign("report", design, "-o", design.parent / name).code == 0
    names = sorted(path.name for path in (design.parent / "a").iterdir())
    assert names == sorted([".codesign.json", "report.html", *(f"{name}.png" for name in CHARTS)])
    for name in names:
        assert (design.parent / "a" / name).read_bytes() == (design.parent / "b" / name).read_bytes()


def test_bad_input(codesign: Run, design: Path, tmp_path: Path) -> None:
    def refused(*arguments: object) -> str:
        told = codesign("report", *arguments)
        assert told.code == 2
        assert len(told.err.splitlines()) == 1
        return told.err

    assert "no such folder" in refused(tmp_path / "none")
    assert "the design is for another board" in refused(design, "--board", "kv260")
    content = simulated(design)
    content["layers"][0]["nonzero_blocks"] += 1
    seal(design, content)
    assert "other matrices or blocks than design.yaml has" in refused(design)
    # A figure that was changed by hand.
    content = simulated(design)
    content["total"]["counted_cycles"] += 1
    (design / "sim.json").write_text(json.dumps(sealed(simulated(design)) | {"total": content["total"]}))
    assert "sim.json: checksum: changed since it was written" in refused(design)
    content["design"] = "0" * 64
    seal(design, content)
    assert f"sim.json: design: results of another design than the one that is here now (got '{'0' * 64}')" in refused(
        design
    )
    content["format"] = "codesign-sim-0"
    seal(design, content)
    assert "got 'codesign-sim-0'" in refused(design)
    content = simulated(design)
    del content["total"]["clock_cycles"]
    seal(design, content)
    assert "total.clock_cycles: this field is missing" in refused(design)
    (design / "sim.json").write_text("{")
    assert "not valid JSON" in refused(design)
    (design / "sim.json").unlink()
    target = tmp_path / "file"
    target.write_text("")
    assert "cannot be written" in refused(design, "-o", target / "page")
