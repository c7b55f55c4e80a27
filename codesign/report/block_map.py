"""The figure of every matrix's block map: which blocks a pruned model still has."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

_COLOURS = ListedColormap(["#8b949e40", "#2f81f7"])
TITLES = ("query", "key", "value", "attention output", "feed-forward in", "feed-forward out")
"""The matrices of a layer, in the order of use."""


def block_map(masks: Mapping[str, NDArray[np.bool_]], title: str) -> bytes:
    """``block_map_figure`` with a title, as a PNG."""
    kept = sum(int(mask.sum()) for mask in masks.values()) / sum(mask.size for mask in masks.values())
    figure = block_map_figure(masks)
    figure.suptitle(f"{title}: {kept:.1%} of the blocks are kept (blue)", fontsize=11)
    buffer = io.BytesIO()
    # Without the version in the metadata the same masks give the same bytes.
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def block_map_figure(masks: Mapping[str, NDArray[np.bool_]]) -> Figure:
    """One picture per matrix, one pixel per block.

    Args:
        masks: Kept blocks of every matrix in the order of use, six matrices per layer.
    """
    layers = len(masks) // len(TITLES)
    figure = Figure(figsize=(11, 0.9 + 1.75 * layers), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(layers, len(TITLES), squeeze=False)
    for number, (name, mask) in enumerate(masks.items()):
        layer, part = divmod(number, len(TITLES))
        axes = grid[layer][part]
        # Stretched to fill: of a wide and a tall matrix the pattern is seen alike.
        axes.imshow(mask, cmap=_COLOURS, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(f"{mask.mean():.0%} of {mask.shape[0]}×{mask.shape[1]}", fontsize=8)
        if layer == 0:
            axes.set_title(TITLES[part], fontsize=9)
        if part == 0:
            axes.set_ylabel(f"layer {layer}", fontsize=9)
        axes.set_label(name)
    return figure
