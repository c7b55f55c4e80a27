"""The Pareto figure of a plan: time of the array against block area and against DSPs."""

from __future__ import annotations

import io
from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from codesign.hardware.predict import Design
from codesign.hardware.resources import usable_resources
from codesign.planning.plan import Plan

_GREY, _LINE, _CHOSEN, _LIMIT = "#9aa5b1", "#1f6feb", "#d1242f", "#57606a"


def plan_figure(plan: Plan) -> bytes:
    """The figure as a PNG."""
    figure = Figure(figsize=(11, 4.6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    _panel(left, plan, "block area R×C (weights)", lambda d: d.accelerator.block_area)
    _panel(right, plan, "DSPs", lambda d: d.resources.dsp)
    left.set_ylabel("about, in ms")
    right.axvline(usable_resources(plan.board).dsp, color=_LIMIT, linestyle=":", linewidth=1)
    right.annotate(
        "usable",
        (usable_resources(plan.board).dsp, 0.97),
        xycoords=("data", "axes fraction"),
        ha="right",
        va="top",
        rotation=90,
        color=_LIMIT,
        fontsize=8,
    )
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    figure.suptitle(
        f"{plan.work.shape.name} on {plan.board.name}, {plan.work.tokens} tokens × {plan.work.batch}, "
        f"density {plan.chosen.density:.1%}: designs that fit, as the hardware model predicts them",
        fontsize=11,
    )
    buffer = io.BytesIO()
    # Without the version in the metadata the same plan gives the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _panel(axes: Axes, plan: Plan, label: str, key: Callable[[Design], int]) -> None:
    designs = plan.pareto
    axes.scatter([key(d) for d in designs], [d.estimated_ms for d in designs], s=16, color=_GREY, label="design")
    front = _front(designs, key)
    axes.step(
        [key(d) for d in front],
        [d.estimated_ms for d in front],
        where="post",
        color=_LINE,
        linewidth=1.4,
        label="no design is better in both",
    )
    chosen = plan.chosen
    axes.scatter([key(chosen)], [chosen.estimated_ms], s=60, color=_CHOSEN, zorder=3, label="chosen")
    axes.annotate(
        chosen.accelerator.shape,
        (key(chosen), chosen.estimated_ms),
        xytext=(6, 8),
        textcoords="offset points",
        color=_CHOSEN,
        fontsize=9,
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(label)
    plain = FuncFormatter(lambda value, _: f"{value:g}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(plain)
        axis.set_minor_formatter(NullFormatter())
    axes.grid(True, which="major", color="#d0d7de", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _front(designs: tuple[Design, ...], key: Callable[[Design], int]) -> list[Design]:
    """Designs that no other beats in both, by ascending key."""
    front: list[Design] = []
    for design in sorted(designs, key=lambda d: (key(d), d.estimated_cycles)):
        if not front or design.estimated_cycles < front[-1].estimated_cycles:
            front.append(design)
    return front
