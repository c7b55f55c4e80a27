"""The figures of a design's page. Each can be had as a PNG, and as SVG whose ink follows the page's colours."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from codesign.hardware.resources import RESOURCES, usable_resources
from codesign.program.steps import Kind
from codesign.program.timeline import occupied
from codesign.report.block_map import TITLES, block_map_figure
from codesign.report.facts import Facts, Scores
from codesign.report.vitis_text import NOT_GIVEN

BLUE, ORANGE, GREEN, PURPLE, GREY = "#2f81f7", "#d9730d", "#2da44e", "#8957e5", "#8b949e"
"""Readable on white and on near-black."""
_INK = "#1f2329"
"""Text and axes; in SVG the page's own colour takes its place."""
_SHORT = ("Q", "K", "V", "O", "F1", "F2")
LABELS = {"lut": "LUT", "ff": "FF", "bram18": "BRAM18", "uram": "URAM", "dsp": "DSP"}
_STYLE: dict[Any, Any] = {
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "font.size": 9,
    "axes.titlesize": 10,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Chart:
    """A figure and what it is.

    Attributes:
        name: Of its PNG, and of its place on the page.
        title: What it shows.
        text: What it says to somebody who cannot see it.
        figure: The picture.
    """

    name: str
    title: str
    text: str
    figure: Figure

    def png(self) -> bytes:
        """On white."""
        buffer = io.BytesIO()
        with matplotlib.rc_context(_STYLE):
            # Without the version in the metadata the same design gives the same bytes.
            self.figure.savefig(buffer, format="png", dpi=130, facecolor="white", metadata={"Software": None})
        return buffer.getvalue()

    def svg(self) -> str:
        """An element to stand in a page."""
        buffer = io.StringIO()
        with matplotlib.rc_context({**_STYLE, "svg.hashsalt": self.name}):
            self.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        text = buffer.getvalue()
        text = text[text.index("<svg") :].replace(_INK, "currentColor")
        # Groups' names are the same in every figure, and nothing refers to them.
        text = re.sub(r'<g id="[^"]*"', "<g", text)
        text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
        size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
        assert size
        opening = (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img"'
            f' aria-label="{_escaped(self.text)}" viewBox="0 0 {size[1]} {size[2]}">'
        )
        return re.sub(r"<svg[^>]*>", lambda _: opening, text, count=1).strip()


def charts(facts: Facts) -> Iterator[Chart]:
    """All figures that a design has what is needed for."""
    drawn = (timeline, accuracy, cycles, roofline, resources, density, blocks, memory, noise)
    with matplotlib.rc_context(_STYLE):
        yield from (chart(facts) for chart in drawn)


def accuracy(facts: Facts) -> Chart:
    """Score against compression."""
    figure, axes = _new(7.2, 3.4)
    metric = facts.metrics.metric
    own = facts.metrics.scores
    for scores in (own, *facts.others):
        mine = scores is own
        for name, value, x, marker, colour in _points(scores):
            if value is not None:
                axes.plot(
                    x, value, marker, color=colour, markersize=8 if mine else 5, alpha=1 if mine else 0.55, label=name
                )
    handles, labels = axes.get_legend_handles_labels()
    unique = dict(zip(reversed(labels), reversed(handles), strict=True))
    axes.legend(reversed(unique.values()), reversed(unique), frameon=False, labelcolor=_INK)
    axes.set_xlabel("compression of the encoder's matrices")
    axes.set_ylabel(f"{facts.metrics.task} {metric}, points")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.margins(x=0.12, y=0.25)
    # Tenths of a point shall not look like a cliff.
    low, high = axes.get_ylim()
    if high - low < 2:
        low, high = (low + high) / 2 - 1, (low + high) / 2 + 1
    axes.set_ylim(low, min(high, 100 + (high - low) / 20))  # no score is above 100
    _grid(axes)
    known = ", ".join(f"{name} {value:.1f}" for name, value, *_ in _points(own) if value is not None)
    return Chart("accuracy", "Score against compression", f"{metric}: {known}", figure)


def _points(scores: Scores) -> Iterator[tuple[str, float | None, float, str, str]]:
    yield "dense, float", scores.dense, 1.0, "o", GREY
    yield "pruned, float", scores.pruned, scores.compression, "o", BLUE
    yield "pruned, integer", scores.integer, scores.compression, "D", ORANGE


_TRACKS = (
    ("weight matrices", BLUE, (Kind.MATMUL,)),
    ("attention products", GREEN, (Kind.SCORES, Kind.CONTEXT)),
    ("softmax", ORANGE, (Kind.SOFTMAX,)),
    ("LayerNorm", PURPLE, (Kind.NORM,)),
    ("embeddings in", GREY, (Kind.LOAD,)),
)
"""What it is, its colour, kinds of steps: of the array the first two, of the vector unit the others."""
_NARROWEST = 1 / 1500
"""Of the sentence: what is no wider than a pixel or so is drawn with what comes behind it."""


def timeline(facts: Facts) -> Chart:
    """What the array and the vector unit do when: one sentence, and below it one layer."""
    program, times = facts.sentence
    spans = [(step.kind, step.layer, *span) for step, span in zip(program.array, occupied(times.array), strict=True)]
    spans += [
        (step.kind, step.layer, *span) for step, span in zip(program.vector, occupied(times.vector), strict=True)
    ]
    layers = program.array[-1].layer + 1
    shown = min(1, layers - 1)  # not the first, which waits for the embeddings
    figure = Figure(figsize=(7.2, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    whole, part = figure.subplots(2, 1)
    for axes, chosen in ((whole, spans), (part, [span for span in spans if span[1] == shown])):
        begin, end = min(span[2] for span in chosen), max(span[3] for span in chosen)
        for row, (_, colour, kinds) in enumerate(_TRACKS):
            bars = [(begun, ended - begun) for kind, _, begun, ended in chosen if kind in kinds]
            joined = _joined(sorted(bars), _NARROWEST * (end - begin))
            axes.broken_barh(joined, (len(_TRACKS) - 1 - row - 0.4, 0.8), color=colour, linewidth=0)
        axes.set_yticks(range(len(_TRACKS)), [label for label, *_ in reversed(_TRACKS)])
        axes.set_xlim(begin, end)
        axes.set_ylim(-0.6, len(_TRACKS) - 0.4)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        _grid(axes, "x")
    whole.set_title(f"{layers} layers, {facts.design.document.tokens} tokens", loc="left")
    part.set_title(f"layer {shown}", loc="left")
    part.set_xlabel("cycles from the start")
    shares = ", ".join(
        f"{label} {sum(ended - begun for kind, _, begun, ended in spans if kind in kinds) / times.cycles:.0%}"
        for label, _, kinds in _TRACKS
    )
    text = f"Of {times.cycles:,} cycles: {shares}. Array and vector unit work side by side."
    return Chart("timeline", "A sentence on the device, hardware model", text, figure)


def _joined(bars: Sequence[tuple[int, int]], gap: float) -> list[tuple[int, int]]:
    """(begin, length) of bars in order, those less than a gap apart made one."""
    found: list[tuple[int, int]] = []
    for begin, length in bars:
        if found and begin - sum(found[-1]) < gap:
            found[-1] = (found[-1][0], begin + length - found[-1][0])
        else:
            found.append((begin, length))
    return found


def cycles(facts: Facts) -> Chart:
    """Cycles of every matrix: dense, predicted, simulated."""
    document = facts.design.document
    names = [layer.name for layer in document.layers]
    predicted = [layer.predicted_cycles for layer in document.layers]
    figure, axes = _new(max(7.2, 0.21 * len(names)), 3.6)
    x = np.arange(len(names))
    axes.bar(x, facts.dense_matrix_cycles, 0.8, color=GREY, alpha=0.35, label="all blocks, hardware model")
    found = facts.layers
    if found:
        counted = [found[name].counted_cycles for name in names]
        axes.bar(x, counted, 0.8, color=BLUE, label="counted in simulated RTL")
        predicted = [found[name].predicted_cycles for name in names]
    axes.plot(x, predicted, "_", color=ORANGE, markersize=9, markeredgewidth=2, label="hardware model")
    axes.set_ylabel("cycles")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.legend(frameon=False, labelcolor=_INK, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    _matrix_axis(axes, len(names))
    _grid(axes)
    worst = max(range(len(names)), key=lambda i: predicted[i])
    text = f"In a sentence of {facts.tokens} tokens the most cycles, {predicted[worst]:,}, are {names[worst]}'s."
    return Chart("cycles", "Cycles of every matrix", text, figure)


def roofline(facts: Facts) -> Chart:
    """Multiply-accumulates per cycle against those per byte of external memory."""
    a = facts.design.document.accelerator
    found = facts.layers
    chip: list[float] = []
    streamed: list[tuple[float, float]] = []
    for layer in facts.design.document.layers:
        macs_per_byte = facts.rooflines[layer.name][1]
        taken = found[layer.name].counted_cycles if found else layer.predicted_cycles
        rate = layer.nonzero_blocks * a.block_area * facts.tokens / taken if taken else 0
        if macs_per_byte is None:
            chip.append(rate)
        else:
            streamed.append((macs_per_byte, rate))
    peak, width = a.macs_per_cycle, facts.bytes_per_cycle
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(4, 1))
    ridge = peak / width if width else 100
    ends = (min([ridge / 30, *(m / 2 for m, _ in streamed)]), max([ridge * 10, *(m * 2 for m, _ in streamed)]))
    if width:
        left.plot([ends[0], ridge, ends[1]], [ends[0] * width, peak, peak], color=_INK, linewidth=1.3)
        left.annotate(
            f"{width:.3g} bytes per cycle",
            (ridge / 8, ridge / 8 * width),
            xytext=(4, -12),
            textcoords="offset points",
        )
    left.annotate(
        f"{peak:,} multiply-accumulates per cycle",
        (ends[1], peak),
        xytext=(0, 4),
        textcoords="offset points",
        ha="right",
    )
    left.plot([m for m, _ in streamed], [r for _, r in streamed], "o", color=ORANGE)
    right.axhline(peak, color=_INK, linewidth=1.3)
    right.plot(_spread(len(chip)), chip, "o", color=BLUE, markersize=4)
    left.set_xscale("log")
    left.set_yscale("log")
    left.set_ylim(min([peak / 30, *(rate / 2 for rate in (*chip, *(r for _, r in streamed)) if rate)]), peak * 1.5)
    left.set_xlabel("multiply-accumulates per byte of external memory")
    left.set_ylabel("multiply-accumulates per cycle")
    left.set_title(f"{len(streamed)} matrices from external memory")
    right.set_title(f"{len(chip)} on chip")
    right.set_xticks([])
    right.set_xlim(-0.2, 1.2)
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())
    for axes in (left, right):
        _grid(axes)
    source = "counted in simulation" if found else "predicted"
    text = (
        f"Matrices run at {min([*chip, *(r for _, r in streamed)]) / peak:.0%} of the array's rate or more, {source}."
    )
    return Chart("roofline", f"Roofline, cycles {source}", text, figure)


def resources(facts: Facts) -> Chart:
    """Parts of what is usable of the board."""
    limit = usable_resources(facts.board)
    names = [name for name in RESOURCES if getattr(limit, name)]
    figure, axes = _new(7.2, 2.9)
    y = np.arange(len(names))[::-1]
    own: dict[str, int | None] = {name: getattr(facts.resources, name) for name in names}
    sources = [("hardware model", own, BLUE)]
    if facts.vitis:
        sources.append(("Vitis, HLS kernel", dict(facts.vitis.resources), ORANGE))
    height = 0.7 / len(sources)
    for number, (label, counts, colour) in enumerate(sources):
        parts = [(counts[name] or 0) / getattr(limit, name) for name in names]
        told = [NOT_GIVEN if counts[name] is None else f"{part:.0%}" for name, part in zip(names, parts, strict=True)]
        bars = axes.barh(y + 0.35 - height * (number + 0.5), parts, height, color=colour, label=label)
        axes.bar_label(bars, told, padding=3)
    axes.axvline(1, color=_INK, linewidth=1.3)
    axes.annotate("usable", (1, 1), xycoords=("data", "axes fraction"), xytext=(4, -10), textcoords="offset points")
    axes.set_yticks(y, [LABELS[name] for name in names])
    axes.set_xlim(0, max(1.15, axes.get_xlim()[1] * 1.05))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0%}"))
    if len(sources) > 1:
        axes.legend(frameon=False, labelcolor=_INK, loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    _grid(axes, "x")
    text = ", ".join(f"{LABELS[name]} {getattr(facts.resources, name) / getattr(limit, name):.0%}" for name in names)
    return Chart("resources", f"Of what a design may use of {facts.board.name}", text, figure)


def density(facts: Facts) -> Chart:
    """Kept blocks of every matrix."""
    values = np.array([layer.nonzero_blocks / layer.blocks for layer in facts.design.document.layers])
    figure = _table(values.reshape(-1, len(TITLES)), Normalize(0, 1), lambda value: f"{value:.0%}")
    text = f"From {values.min():.0%} to {values.max():.0%} of a matrix's blocks are kept."
    return Chart("density", "Kept blocks of every matrix", text, figure)


def noise(facts: Facts) -> Chart:
    """Signal to quantisation noise of every matrix."""
    found = facts.design.document.quantisation.matrix_noise_db
    values = np.array([found[layer.name] for layer in facts.design.document.layers])
    figure = _table(values.reshape(-1, len(TITLES)), Normalize(0, 45), lambda value: f"{value:.0f}")
    text = f"From {values.min():.0f} to {values.max():.0f} dB."
    return Chart("noise", "Signal to quantisation noise of every matrix's result, dB", text, figure)


def memory(facts: Facts) -> Chart:
    """Bits of the matrices: as dense integers, and as packed."""
    size = facts.size
    a = facts.design.document.accelerator
    dense = sum(layer.out_features * layer.in_features for layer in facts.design.document.layers) * a.weight_bits
    figure, axes = _new(7.2, 1.9)
    kib = 8 * 1024
    axes.barh(1, dense / kib, 0.6, color=GREY, alpha=0.5)
    parts = [
        ("kept blocks", size.ideal, BLUE),
        ("index and rest of words", size.weights + size.index - size.ideal, ORANGE),
    ]
    parts.append(("constants of channels", size.channels, GREEN))
    left = 0.0
    for label, bits, colour in parts:
        axes.barh(0, bits / kib, 0.6, left=left, color=colour, label=f"{label}: {bits / kib:,.0f} KiB")
        left += bits / kib
    axes.set_yticks([1, 0], [f"dense int{a.weight_bits}", "this design"])
    axes.set_xlabel("KiB")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.legend(frameon=False, labelcolor=_INK, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    _grid(axes, "x")
    text = f"Weights and index take {size.overhead:.2%} more than the kept blocks."
    return Chart("memory", "What the weights take", text, figure)


def blocks(facts: Facts) -> Chart:
    """Every matrix's block map."""
    masks = {}
    for layer in facts.design.document.layers:
        packed = facts.design.packed(layer)
        mask = np.zeros((len(packed.row_blocks), packed.block_columns), bool)
        mask[np.repeat(np.arange(len(packed.row_blocks)), packed.row_blocks), packed.columns] = True
        masks[layer.name] = mask
    kept = sum(mask.sum() for mask in masks.values()) / sum(mask.size for mask in masks.values())
    text = f"{kept:.1%} of the blocks are kept."
    return Chart("blocks", "Block maps: kept blocks are blue", text, block_map_figure(masks))


def _new(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _grid(axes: Axes, axis: str = "y") -> None:
    axes.grid(visible=True, axis=axis, color=GREY, alpha=0.3, linewidth=0.6)  # type: ignore[arg-type]
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _matrix_axis(axes: Axes, count: int) -> None:
    """Matrices along x, six per layer."""
    parts = len(TITLES)
    axes.set_xticks(range(count), [_SHORT[i % parts] for i in range(count)], fontsize=7 if count < 40 else 5)
    axes.set_xlim(-0.8, count - 0.2)
    layers = axes.secondary_xaxis(-0.09)
    layers.set_xticks(
        [(i + 0.5) * parts - 0.5 for i in range(count // parts)], [f"layer {i}" for i in range(count // parts)]
    )
    layers.tick_params(length=0)
    layers.spines["bottom"].set_visible(False)


def _spread(count: int) -> Sequence[float]:
    """Places side by side, the same every time."""
    return [(i * 0.618) % 1 for i in range(count)]


_SCALE = LinearSegmentedColormap.from_list("kept", ["#dbe9fe", BLUE])


def _table(values: NDArray[np.float64], scale: Normalize, form: Callable[[float], str]) -> Figure:
    """Layers × matrices in coloured cells."""
    figure, axes = _new(7.2, 0.7 + 0.3 * len(values))
    axes.imshow(values, cmap=_SCALE, norm=scale, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        axes.text(column, row, form(value), ha="center", va="center", color="#0b1f3a")
    axes.set_xticks(range(len(TITLES)), TITLES)
    axes.xaxis.tick_top()
    axes.set_yticks(range(len(values)), [f"layer {i}" for i in range(len(values))])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
