"""A masked integer matrix as its kept blocks in schedule order, with their columns, and back.

Schedule order: block rows ascending, block columns ascending within. A block is R × C, row-major. A side that is no
multiple of the block is padded with zeros.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.hardware.memories import ceil_div


@dataclass(frozen=True)
class PackedMatrix:
    """The kept blocks of one matrix.

    Attributes:
        out_features: N.
        in_features: K.
        blocks: Kept blocks × R × C, int8.
        columns: Column block of each, int32.
        row_blocks: Kept blocks of each block row, int32.
    """

    out_features: int
    in_features: int
    blocks: NDArray[np.int8]
    columns: NDArray[np.int32]
    row_blocks: NDArray[np.int32]

    @property
    def block(self) -> tuple[int, int]:
        """(R, C)."""
        return int(self.blocks.shape[1]), int(self.blocks.shape[2])

    @property
    def block_columns(self) -> int:
        """⌈K / C⌉."""
        return ceil_div(self.in_features, self.block[1])


def pack(weight: NDArray[np.int8], block: tuple[int, int], mask: NDArray[np.bool_] | None = None) -> PackedMatrix:
    """The kept blocks of a matrix.

    Args:
        weight: N × K, int8.
        block: (R, C).
        mask: Which blocks are kept, ⌈N/R⌉ × ⌈K/C⌉; default: those that are not all zero.

    Raises:
        ValueError: The mask has another shape, or drops a block that is not zero.
    """
    rows, cols = block
    out_features, in_features = weight.shape
    grid = ceil_div(out_features, rows), ceil_div(in_features, cols)
    if weight.shape != (grid[0] * rows, grid[1] * cols):
        padded = np.zeros((grid[0] * rows, grid[1] * cols), np.int8)
        padded[:out_features, :in_features] = weight
        weight = padded
    tiles = weight.reshape(grid[0], rows, grid[1], cols).transpose(0, 2, 1, 3)
    present = tiles.any(axis=(2, 3))
    kept = present if mask is None else np.asarray(mask, bool)
    if kept.shape != grid:
        raise ValueError(f"the mask is {kept.shape}, the matrix has {grid} blocks of {rows}×{cols}")
    if (present & ~kept).any():
        row, column = np.argwhere(present & ~kept)[0]
        raise ValueError(f"block ({row}, {column}) is masked, but not zero")
    return PackedMatrix(
        out_features,
        in_features,
        np.ascontiguousarray(tiles[kept]),
        np.nonzero(kept)[1].astype(np.int32),
        kept.sum(axis=1).astype(np.int32),
    )


def unpack(packed: PackedMatrix) -> NDArray[np.int8]:
    """The matrix, N × K, pruned blocks zero.

    Raises:
        ValueError: Counts, columns and sides do not fit each other.
    """
    check(packed)
    rows, cols = packed.block
    grid = len(packed.row_blocks), packed.block_columns
    tiles = np.zeros((*grid, rows, cols), np.int8)
    tiles[np.repeat(np.arange(grid[0]), packed.row_blocks), packed.columns] = packed.blocks
    weight = tiles.transpose(0, 2, 1, 3).reshape(grid[0] * rows, grid[1] * cols)
    return np.ascontiguousarray(weight[: packed.out_features, : packed.in_features])


def kept_blocks(packed: PackedMatrix) -> NDArray[np.bool_]:
    """The mask, block rows × block columns."""
    mask = np.zeros((len(packed.row_blocks), packed.block_columns), bool)
    mask[np.repeat(np.arange(len(packed.row_blocks)), packed.row_blocks), packed.columns] = True
    return mask


def check(packed: PackedMatrix) -> None:
    """Whether the parts of a packed matrix fit each other.

    Raises:
        ValueError: They do not; the message says which.
    """
    count = len(packed.blocks)
    if len(packed.columns) != count or int(packed.row_blocks.sum()) != count:
        raise ValueError(
            f"{count} blocks, {len(packed.columns)} columns and {int(packed.row_blocks.sum())} blocks in rows"
        )
    if len(packed.row_blocks) != ceil_div(packed.out_features, packed.block[0]):
        raise ValueError(f"{len(packed.row_blocks)} block rows for {packed.out_features} output features")
    if count and not 0 <= int(packed.columns.min()) <= int(packed.columns.max()) < packed.block_columns:
        raise ValueError(f"column blocks outside 0 to {packed.block_columns - 1}")
    rising = np.diff(packed.columns) > 0
    starts = np.cumsum(packed.row_blocks)[:-1]
    rising[starts[(starts > 0) & (starts < count)] - 1] = True
    if not rising.all():
        raise ValueError(f"columns do not ascend at block {int(np.argmin(rising)) + 1}")
