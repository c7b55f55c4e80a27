"""What of an encoder nothing reads, and is therefore not computed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.program.layout import Layout

_PARTS = 6
"""Matrices of a layer: Q, K, V, attention output, feed-forward in and out."""


@dataclass(frozen=True)
class Needed:
    """What is computed.

    Attributes:
        heads: Of each layer, the heads whose context a block of the output matrix takes in, ascending.
        rows: Of each matrix, the block rows that are run, ascending: one at least.
    """

    heads: tuple[tuple[int, ...], ...]
    rows: tuple[tuple[int, ...], ...]

    def unread(self, heads: int) -> int:
        """Heads that are not computed, of all layers, where each has so many."""
        return sum(heads - len(read) for read in self.heads)


def needed(layout: Layout, row_blocks: Sequence[Sequence[int]], unread: Sequence[Collection[int]]) -> Needed:
    """What of an encoder is computed.

    An empty block row gives its requantised biases, the same for every token: it has to be run where something reads
    them. Heads that nothing reads need neither products nor softmax.

    Args:
        layout: Sizes.
        row_blocks: Of each matrix, six a layer, the nonzero blocks of each block row.
        unread: Of each matrix the block columns without a block.
    """
    a, heads, rows = layout.accelerator, [], []
    for first in range(0, len(row_blocks), _PARTS):
        context = _read(layout.hidden, a.cols, unread[first + 3])
        inner = _read(layout.ffn, a.cols, unread[first + 5])
        by_head = context.reshape(layout.heads, layout.head).any(axis=1)
        heads.append(tuple(np.flatnonzero(by_head).tolist()))
        of_heads, everything = np.repeat(by_head, layout.head), np.ones(layout.hidden, bool)
        wanted = (of_heads, of_heads, context, everything, inner, everything)
        rows += [
            _run(a.rows, blocks, features)
            for blocks, features in zip(row_blocks[first : first + _PARTS], wanted, strict=True)
        ]
    return Needed(tuple(heads), tuple(rows))


def everything(layout: Layout, layers: int) -> Needed:
    """All of it."""
    a = layout.accelerator
    sizes = [layout.hidden] * 4 + [layout.ffn, layout.hidden]
    return Needed(
        (tuple(range(layout.heads)),) * layers, tuple(tuple(range(-(-size // a.rows))) for size in sizes) * layers
    )


def _read(features: int, cols: int, unread: Collection[int]) -> NDArray[np.bool_]:
    """Which features the blocks of a matrix take in."""
    found = np.ones(features, bool)
    for column in unread:
        found[column * cols : (column + 1) * cols] = False
    return found


def _run(rows: int, blocks: Sequence[int], features: NDArray[np.bool_]) -> tuple[int, ...]:
    """Block rows with blocks, or of which something is read; the first of all where there is none."""
    starts = range(0, len(features), rows)
    found = (n for n, start in enumerate(starts) if blocks[n] or features[start : start + rows].any())
    return tuple(found) or (0,)
