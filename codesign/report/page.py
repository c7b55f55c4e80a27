"""A design's page: one HTML file that needs nothing else, and its figures as PNG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from codesign import __version__
from codesign.design.document import METRICS
from codesign.hardware.accelerator import WeightMemory
from codesign.hardware.predict import tightest
from codesign.hardware.resources import RESOURCES, usable_resources
from codesign.outputs import Output
from codesign.report.charts import LABELS, Chart, charts
from codesign.report.facts import Facts
from codesign.report.vitis_text import given
from codesign.simulation.outcome import RESULT

PAGE = "report.html"
MODEL, RTL, HLS, TORCH, INTEGER, VITIS, BOARD, FILES = (
    "model",
    "RTL",
    "HLS",
    "PyTorch",
    "integer",
    "Vitis",
    "board file",
    "design",
)
_ORIGINS = {
    MODEL: "the hardware model's prediction: cycles from the schedule alone; DSPs and memories from the design;"
    " LUTs and flip-flops with coefficients fitted on engines synthesised with Yosys",
    RTL: "counted in the generated SystemVerilog, simulated with Verilator",
    HLS: "the generated HLS kernel, compiled as C++ and run; no synthesis",
    TORCH: "the float model, evaluated with PyTorch",
    INTEGER: "the exact integer model of the whole encoder, with which hardware is compared",
    VITIS: "read from a Vitis report",
    BOARD: "the board's YAML file, which names its sources",
    FILES: "counted in the design's own files",
}

_MEMORIES = {WeightMemory.BRAM: "block RAM", WeightMemory.URAM: "URAM", WeightMemory.DDR: "external"}


@dataclass(frozen=True)
class Head:
    """A column's title and where its numbers are from."""

    text: str
    sources: Sequence[str] = ()


@dataclass(frozen=True)
class Cell:
    """A cell; ``bad``: not as it must be."""

    text: str
    bad: bool = False


@dataclass(frozen=True)
class Grid:
    """A table."""

    heads: Sequence[Head]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Tile:
    """A figure worth seeing first; ``bad``: not as it must be."""

    name: str
    value: str
    note: str
    sources: Sequence[str]
    bad: bool = False


@dataclass(frozen=True)
class Verdict:
    """Whether simulation proved the design; ``kind``: good, bad or soft."""

    kind: str
    text: str


@dataclass(frozen=True)
class Drawn:
    """A figure on the page."""

    title: str
    text: str
    svg: Markup


def write_page(facts: Facts, output: Output) -> Path:
    """Write the page and its figures; returns the page's path.

    Args:
        facts: What is known of the design.
        output: Claimed, a ``REPORT``.

    Raises:
        InputError: They cannot be written.
    """
    found = list(charts(facts))
    figures = {f"{chart.name}.png": chart.png() for chart in found}
    output.write_files({**figures, PAGE: page(facts, found).encode()})
    return output.folder / PAGE


def page(facts: Facts, found: Sequence[Chart]) -> str:
    """The page's HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    document = facts.design.document
    tiles = list(_tiles(facts))
    grids = {"scores": _scores(facts), "layers": _layers(facts), "resources": _resources(facts)}
    used = {name for tile in tiles for name in tile.sources}
    used |= {name for grid in grids.values() for head in grid.heads for name in head.sources}
    return environment.get_template("page.html.j2").render(
        title=f"{document.model} on {document.board}",
        version=__version__,
        summary=_summary(facts),
        verdict=_verdict(facts),
        tiles=tiles,
        charts={chart.name: Drawn(chart.title, chart.text, Markup(chart.svg())) for chart in found},
        cycles_text=_cycles_text(facts),
        resources_text=_resources_text(facts),
        loops=_loops_text(facts),
        integers_text=_integers_text(facts),
        origins=[(name, text) for name, text in _ORIGINS.items() if name in used],
        provenance=list(_provenance(facts)),
        **grids,
    )


def _summary(facts: Facts) -> str:
    d, a = facts.design.document, facts.design.document.accelerator
    products = {1: "one product", 2: "two products", 4: "four products"}[a.dsp_packing]
    return (
        f"An encoder of {d.shape.layers} layers, fine-tuned on {d.task} and pruned in blocks of"
        f" {a.rows}×{a.cols}, as int{a.weight_bits}, on a block-sparse engine of {a.shape} multipliers"
        f" ({products} per DSP) with a vector unit of {a.vector_width} elements per cycle, at {a.clock_mhz:g} MHz."
        f" Whole sentences of up to {d.tokens} tokens pass it; tokenizer, embeddings, pooler and classifier are the"
        " host's, outside the cycles."
    )


def _verdict(facts: Facts) -> Verdict:
    found = facts.simulated
    if found is None:
        return Verdict("soft", f"Not simulated yet: {facts.simulate_command}")
    outputs = sum(sentence.outputs for sentence in found.sentences)
    if found.right:
        return Verdict(
            "good",
            f"Simulated: {outputs:,} outputs of all steps of whole sentences, {found.total.counted_cycles:,} cycles"
            " and the HLS kernel's outputs are exactly as predicted",
        )
    total = found.total
    return Verdict(
        "bad",
        f"Simulated, and not as it must be: {total.mismatches:,} outputs of the RTL and {total.hls_mismatches:,} of"
        f" the HLS kernel differ; {total.counted_cycles:,} cycles counted, {total.predicted_cycles:,} predicted",
    )


def _tiles(facts: Facts) -> Iterator[Tile]:
    metrics, clock = facts.metrics, facts.design.document.accelerator.clock_mhz
    yield Tile(
        f"{metrics.task} {metrics.metric}: {' → '.join(facts.steps)}",
        " → ".join(f"{value:.1f}" for value in facts.steps.values()),
        "points",
        [TORCH, INTEGER] if "integer" in facts.steps else [TORCH],
    )
    yield Tile(
        "compression",
        f"{metrics.compression['encoder']:.2f}×",
        f"of the matrices; {metrics.compression['with_embeddings']:.2f}× with embeddings",
        [FILES],
    )
    d = facts.design.document
    sentences = "a sentence" if d.batch == 1 else f"{d.batch} sentences, each"
    yield Tile(
        "start to last output", f"{facts.predicted_cycles:,}", f"cycles, {sentences} of {d.tokens} tokens", [MODEL]
    )
    yield Tile("latency", f"{facts.latency_ms:.3f} ms", f"at {clock:g} MHz", [MODEL])
    yield Tile("speed-up", f"{facts.speedup:.2f}×", "over the dense encoder on the same array", [MODEL])
    useful = "useful multiply-accumulates of all that the array could do"
    yield Tile("utilisation", f"{facts.utilisation:.1%}", useful, [MODEL])
    name, part = tightest(facts.resources, facts.board)
    yield Tile(
        f"most used: {LABELS[name]}",
        f"{part:.0%}",
        f"{getattr(facts.resources, name):,} of {getattr(usable_resources(facts.board), name):,} usable",
        [MODEL, BOARD],
        part > 1,
    )


def _scores(facts: Facts) -> Grid:
    steps = facts.metrics.all_metrics
    sources = {"dense": TORCH, "pruned": TORCH, "integer": INTEGER}
    heads = [Head("points"), *(Head(step, [sources[step]]) for step in steps)]
    rows = []
    for split, scores in next(iter(steps.values())).items():
        for metric in scores:
            found = [steps[step].get(split, {}).get(metric) for step in steps]
            rows.append(
                [Cell(f"{metric}, {split}"), *(Cell("" if value is None else f"{value:.2f}") for value in found)]
            )
    return Grid(heads, rows)


def _cycles_text(facts: Facts) -> str:
    a, found = facts.design.document.accelerator, facts.simulated
    text = (
        f"The array does {a.macs_per_cycle:,} multiply-accumulates per cycle. A matrix's cycles are those in a"
        f" sentence of {facts.tokens} tokens, from its first block's entry to the end of what its results go into;"
        " attention, LayerNorms and loading come on top, while matrices overlap."
    )
    (no_rows, rows), (no_columns, columns) = facts.left_out
    if no_rows or no_columns:
        text += (
            f" {no_rows:,} of {rows:,} block rows and {no_columns:,} of {columns:,} block columns have no blocks:"
            " the encoder runs such rows, the HLS kernel has neither."
        )
    if found is None:
        return text
    waits = ", ".join(f"{cycles:,} cycles for {what}" for what, cycles in found.total.stall_cycles.items() if cycles)
    text += f" The array waited {waits or 'never'}."
    if found.external_memory and found.external_memory.matrices:
        m = found.external_memory
        text += (
            f" Weights of {m.matrices} matrices came from external memory: {m.ports} ports of {m.port_bits} bits,"
            f" {m.bytes_per_cycle:.1f} bytes per cycle after {m.latency_cycles} cycles."
        )
    return text


def _layers(facts: Facts) -> Grid:
    found = facts.layers
    heads = [
        Head("matrix"),
        Head("sides"),
        Head("blocks kept", [FILES]),
        Head("weights in"),
        Head("bound by", [MODEL]),
    ]
    heads.append(Head("cycles", [MODEL]))
    if found:
        heads += [Head("cycles", [RTL]), Head("utilisation", [RTL]), Head("trips", [MODEL]), Head("trips", [HLS])]
        heads += [Head("outputs", [INTEGER]), Head("differ", [RTL]), Head("differ", [HLS])]
    rows = []
    for layer in facts.design.document.layers:
        row = [
            Cell(layer.name),
            Cell(f"{layer.out_features}×{layer.in_features}"),
            Cell(f"{layer.nonzero_blocks:,} of {layer.blocks:,}"),
            Cell(_MEMORIES[layer.weight_memory]),
            Cell(facts.rooflines[layer.name][0]),
        ]
        if found:
            s = found[layer.name]
            row += [
                Cell(f"{s.predicted_cycles:,}"),
                Cell(f"{s.counted_cycles:,}", s.counted_cycles != s.predicted_cycles),
                Cell(f"{s.utilisation:.1%}"),
                Cell(f"{s.hls_predicted_trips:,}"),
                Cell(f"{s.hls_trips:,}", s.hls_trips != s.hls_predicted_trips),
                Cell(f"{s.outputs:,}"),
                Cell(f"{s.mismatches:,}", s.mismatches > 0),
                Cell(f"{s.hls_mismatches:,}", s.hls_mismatches > 0),
            ]
        else:
            row.append(Cell(f"{layer.predicted_cycles:,}"))
        rows.append(row)
    return Grid(heads, rows)


def _resources(facts: Facts) -> Grid:
    limit, model = usable_resources(facts.board), facts.resources
    heads = [Head(""), Head("engine", [MODEL]), Head("usable", [BOARD]), Head("part")]
    if facts.vitis:
        heads += [Head("HLS kernel", [VITIS]), Head("part")]
    rows = []
    for name in RESOURCES:
        most, ours = getattr(limit, name), getattr(model, name)
        row = [Cell(LABELS[name]), Cell(f"{ours:,}", ours > most), Cell(f"{most:,}"), Cell(_part(ours, most))]
        if facts.vitis:
            theirs = facts.vitis.resources[name]
            row.append(Cell(given(theirs), theirs is not None and theirs > most))
            row.append(Cell("" if theirs is None else _part(theirs, most)))
        rows.append(row)
    return Grid(heads, rows)


def _part(count: int, most: int) -> str:
    return f"{count / most:.0%}" if most else ""


def _resources_text(facts: Facts) -> str:
    parts = sorted(facts.parts.items(), key=lambda item: -item[1].lut)
    largest = ", ".join(f"{name} {counts.lut:,}" for name, counts in parts[:4])
    return (
        f"Usable is what the board file leaves of the device for a design. Most LUTs are in {largest} (by the model)."
    )


def _loops_text(facts: Facts) -> str:
    if facts.vitis is None:
        return ""
    report, period = facts.vitis, 1000 / facts.design.document.accelerator.clock_mhz
    slow = [loop for loop in report.loops if loop.interval is not None and loop.interval > 1]
    text = f"Vitis {report.version or 'of unknown version'}: {len(report.loops)} pipelined loops,"
    text += f" {len(slow)} of them with an initiation interval above 1."
    if report.estimated_ns is not None:
        text += f" Clock period {report.estimated_ns:.2f} ns estimated, {period:.2f} ns wanted."
    if report.missing:
        text += f" Not given by Vitis: {', '.join(report.missing)}."
    return text


def _integers_text(facts: Facts) -> str:
    d, size = facts.design.document, facts.size
    noise = d.quantisation.layer_noise_db
    return (
        f"int{d.accelerator.weight_bits} weights, int8 activations; ranges chosen by {d.quantisation.ranges} on"
        f" {d.quantisation.calibration} sentences. Signal to noise is {noise[0]:.1f} dB after the first layer and"
        f" {noise[-1]:.1f} dB after the last, errors of earlier layers included. Blocks and index take"
        f" {size.overhead:.2%} more than the kept weights alone."
    )


def _provenance(facts: Facts) -> Iterator[tuple[str, str]]:
    d, metrics = facts.design.document, facts.metrics
    yield "design", str(facts.design.folder)
    yield "board", f"{d.board}, {d.part}"
    yield "made by", ", ".join(f"{name} {version}" for name, version in metrics.versions.items())
    yield "seed", str(metrics.seed)
    if metrics.date:
        yield "pruned", f"{metrics.date}, training in {metrics.precision}"
    if metrics.settings:
        yield "settings", ", ".join(f"{key} {value}" for key, value in metrics.settings.items() if value is not None)
    yield (
        "read",
        ", ".join((METRICS, "design.yaml", *([RESULT] if facts.simulated else ["no sim.json: not simulated"]))),
    )
    if facts.vitis:
        yield "Vitis reports", ", ".join(path.name for path in facts.vitis.files)
    for name, digest in d.files.items():
        yield name, f"SHA-256 {digest[:16]}…"
