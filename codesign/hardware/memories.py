"""How many memory primitives an array of words needs, by its true width and depth.

An array is tiled with one aspect ratio of one primitive: ⌈width / tile width⌉ × ⌈depth / tile depth⌉ tiles, of the
ratio that takes the fewest. The hardware instantiates its memories tile by tile, so the count does not depend on what
a synthesiser would make of a large array.

Aspect ratios: block RAM from AMD UG573 (UltraScale) and UG473 (7 series), simple dual port; URAM288 is
4096 × 72 only (UG573); distributed RAM from UG574 and UG474.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cache

from codesign.boards import DspType

# (width, depth) of a RAMB18. A RAMB36 is two of them and never saves one.
_BLOCK_RAM = ((1, 16384), (2, 8192), (4, 4096), (9, 2048), (18, 1024), (36, 512))
URAM_TILE = (72, 4096)
URAM_WORDS = URAM_TILE[1]
BRAM18_BITS, URAM_BITS = 18 * 1024, 288 * 1024

# (bits, depth, LUTs) of one simple dual-port distributed RAM: RAM32M16 / RAM64M8 and RAM32M / RAM64M.
_DISTRIBUTED = {
    DspType.DSP48E2: ((14, 32, 8), (7, 64, 8)),
    DspType.DSP48E1: ((6, 32, 4), (3, 64, 4)),
}
DEEPEST_DISTRIBUTED = 64
"""Words above which an array goes to block RAM: from here on distributed RAM costs more than it saves."""


class Storage(StrEnum):
    """Where an array of words is kept on chip."""

    BRAM = "bram"
    URAM = "uram"


def ceil_div(a: int, b: int) -> int:
    """⌈a / b⌉ for integers."""
    return -(-a // b)


@cache
def block_ram_tile(width: int, depth: int) -> tuple[int, int]:
    """(width, depth) of the RAMB18 tiles that an array is put together from: the fewest, then the deepest."""
    return min(_BLOCK_RAM, key=lambda t: (ceil_div(width, t[0]) * ceil_div(depth, t[1]), -t[1]))


@cache
def bram18(width: int, depth: int) -> int:
    """Block RAM for ``depth`` words of ``width`` bits, in BRAM18 (a BRAM36 counts two)."""
    if width == 0 or depth == 0:
        return 0
    tile_width, tile_depth = block_ram_tile(width, depth)
    return ceil_div(width, tile_width) * ceil_div(depth, tile_depth)


@cache
def uram(width: int, depth: int) -> int:
    """URAM288 blocks for ``depth`` words of ``width`` bits."""
    return ceil_div(width, URAM_TILE[0]) * ceil_div(depth, URAM_TILE[1])


def distributed_luts(width: int, depth: int, dsp_type: DspType) -> int:
    """LUTs of a distributed RAM; the device generation is known by its DSP type."""
    return min(ceil_div(width, bits) * ceil_div(depth, words) * luts for bits, words, luts in _DISTRIBUTED[dsp_type])
