"""The figure of every matrix's block map: which blocks a pruned model still has."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from torch import Tensor

_COLOURS = ListedColormap(["#eaeef2", "#1f6feb"])
_PARTS = 6  # matrices of a layer, in the order of use
_TITLES = ("query", "key", "value", "attention output", "feed-forward in", "feed-forward out")


def block_map(masks: Mapping[str, Tensor], title: str) -> bytes:
    """One picture per matrix, one pixel per block, as a PNG.

    Args:
        masks: Kept blocks of every matrix in the order of use, six matrices per layer.
        title: Above the figure.
    """
    layers = len(masks) // _PARTS
    kept = sum(int(mask.sum()) for mask in masks.values()) / sum(mask.numel() for mask in masks.values())
    figure = Figure(figsize=(11, 0.9 + 1.75 * layers), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(layers, _PARTS, squeeze=False)
    for number, (name, mask) in enumerate(masks.items()):
        layer, part = divmod(number, _PARTS)
        axes = grid[layer][part]
        # Stretched to fill: of a wide and a tall matrix the pattern is seen alike.
        axes.imshow(mask.cpu().numpy(), cmap=_COLOURS, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_xlabel(f"{float(mask.float().mean()):.0%} of {mask.shape[0]}×{mask.shape[1]}", fontsize=8)
        if layer == 0:
            axes.set_title(_TITLES[part], fontsize=9)
        if part == 0:
            axes.set_ylabel(f"layer {layer}", fontsize=9)
        axes.set_label(name)
    figure.suptitle(f"{title}: {kept:.1%} of the blocks are kept (blue)", fontsize=11)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
