"""Weights seen as groups: R×C tiles of a matrix, norms and masks of them, by reshaping and never by loops.

A matrix whose sides are no multiples of the block is seen as if padded with zeros; its own storage is not changed.
Masks are boolean, one entry per block, True where the block is kept: ⌈N / R⌉ × ⌈K / C⌉.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from codesign.hardware.memories import ceil_div

Block = tuple[int, int]


def grid(weight: Tensor, block: Block) -> tuple[int, int]:
    """(⌈N / R⌉, ⌈K / C⌉)."""
    return ceil_div(weight.shape[0], block[0]), ceil_div(weight.shape[1], block[1])


def tiles(weight: Tensor, block: Block) -> Tensor:
    """The matrix as block rows × R × block columns × C; a view where the sides are multiples, else padded."""
    rows, cols = grid(weight, block)
    missing = (rows * block[0] - weight.shape[0], cols * block[1] - weight.shape[1])
    if any(missing):
        weight = functional.pad(weight, (0, missing[1], 0, missing[0]))
    return weight.view(rows, block[0], cols, block[1])


def group_norms(weight: Tensor, block: Block) -> Tensor:
    """‖W_g‖₂ of every group, block rows × block columns."""
    return torch.linalg.vector_norm(tiles(weight, block), dim=(1, 3))


def group_sums(values: Tensor, block: Block) -> Tensor:
    """The sum of a matrix's values over every group."""
    return tiles(values, block).sum(dim=(1, 3))


def group_weights(weight: Tensor, block: Block) -> Tensor:
    """How many weights each group has: R·C, fewer where a side of the matrix ends inside the block."""
    rows, cols = grid(weight, block)
    heights = [min(block[0], weight.shape[0] - i * block[0]) for i in range(rows)]
    widths = [min(block[1], weight.shape[1] - j * block[1]) for j in range(cols)]
    return torch.tensor(heights)[:, None] * torch.tensor(widths)[None, :]


def expand(groups: Tensor, weight: Tensor, block: Block) -> Tensor:
    """One value per group as one value per weight, of the matrix's shape."""
    spread = groups.repeat_interleave(block[0], dim=0).repeat_interleave(block[1], dim=1)
    return spread[: weight.shape[0], : weight.shape[1]]


@torch.no_grad()
def scale_groups_(weight: Tensor, factors: Tensor, block: Block) -> None:
    """Multiply every group by its factor, in place."""
    rows, cols = grid(weight, block)
    if weight.shape == (rows * block[0], cols * block[1]):
        weight.view(rows, block[0], cols, block[1]).mul_(factors[:, None, :, None])
    else:
        weight.mul_(expand(factors, weight, block))
