"""The part of a matrix that the engine runs, and how the whole results follow from it.

An empty block row has no products: what it gives is its requantised biases, the same for every token. An empty block
column reads activations that nothing needs. So the engine runs block rows and block columns with blocks alone: it
reads fewer features and gives fewer; the results of the others are constants, known when the design is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codesign.packing.blocks import PackedMatrix


@dataclass(frozen=True)
class Part:
    """What the engine runs of a matrix.

    Attributes:
        packed: A matrix of these features alone.
        inputs: Input features that it reads, ascending.
        outputs: Output features that it gives, ascending.
    """

    packed: PackedMatrix
    inputs: NDArray[np.int64]
    outputs: NDArray[np.int64]


def part_to_run(packed: PackedMatrix) -> Part:
    """Block rows and block columns with blocks; the first of each where there is no block, as every matrix is run."""
    height, width = packed.block
    rows, columns = np.flatnonzero(packed.row_blocks), np.unique(packed.columns)
    if not len(rows):
        rows, columns = np.zeros(1, np.int64), np.zeros(1, np.int32)
    inputs = features_of(columns, width, packed.in_features)
    outputs = features_of(rows, height, packed.out_features)
    small = PackedMatrix(
        len(outputs),
        len(inputs),
        packed.blocks,
        np.searchsorted(columns, packed.columns).astype(np.int32),
        packed.row_blocks[rows],
    )
    return Part(small, inputs, outputs)


def with_rows(packed: PackedMatrix, rows: Sequence[int]) -> PackedMatrix:
    """These block rows of a matrix alone, ascending; the others have no blocks."""
    outputs = features_of(rows, packed.block[0], packed.out_features)
    return PackedMatrix(
        len(outputs), packed.in_features, packed.blocks, packed.columns, packed.row_blocks[list(rows)]
    )


def empty_columns(packed: PackedMatrix) -> tuple[int, ...]:
    """Block columns without a block, ascending."""
    return tuple(np.setdiff1d(np.arange(packed.block_columns), packed.columns).tolist())


def features_of(numbers: Sequence[int] | NDArray[np.integer], size: int, features: int) -> NDArray[np.int64]:
    """Numbers of the features of these block rows or block columns."""
    found = (np.asarray(numbers, np.int64)[:, None] * size + np.arange(size)).reshape(-1)
    return found[found < features]


@dataclass(frozen=True)
class WholeResults:
    """How the results of a matrix are made of what the engine gives.

    Attributes:
        given: Output features that the engine gives, ascending.
        constants: N results without any product, int8; those of the other features are all that they ever give.
    """

    given: NDArray[np.int64]
    constants: NDArray[np.int8]

    def __call__(self, results: NDArray[np.int8]) -> NDArray[np.int8]:
        """N × tokens from ``len(given)`` × tokens."""
        found = np.repeat(self.constants[:, None], results.shape[1], axis=1)
        found[self.given] = results
        return found
