"""Block rows that the engine runs, and the whole results that they and the others' constants make up.

An empty block row has no products: what it gives is its requantised biases, the same for every token. So the engine
runs only block rows with blocks; the results of the others are constants, known when the design is made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from codesign.packing.blocks import PackedMatrix


def block_rows_to_run(packed: PackedMatrix) -> NDArray[np.int64]:
    """Numbers of the block rows with blocks; the first one where there is none, since an engine runs every matrix."""
    rows = np.flatnonzero(packed.row_blocks)
    return rows if len(rows) else np.zeros(1, np.int64)


def features_of(block_rows: NDArray[np.int64], height: int, out_features: int) -> NDArray[np.int64]:
    """Output features of block rows of R = ``height`` features each, of ``out_features`` in all."""
    features = (block_rows[:, None] * height + np.arange(height)).reshape(-1)
    return features[features < out_features]


def only_rows(packed: PackedMatrix, block_rows: NDArray[np.int64]) -> PackedMatrix:
    """A matrix of some block rows alone, ascending; all others must be empty."""
    features = features_of(block_rows, packed.block[0], packed.out_features)
    return replace(packed, out_features=len(features), row_blocks=packed.row_blocks[block_rows])


@dataclass(frozen=True)
class WholeResults:
    """How the results of a matrix are made of what the engine gives.

    Attributes:
        features: N output features.
        run: Those of them that the engine gives, ascending.
        constants: N results without any product, int8; those of the other features are all that they ever give.
    """

    features: int
    run: NDArray[np.int64]
    constants: NDArray[np.int8]

    def __call__(self, given: NDArray[np.int8]) -> NDArray[np.int8]:
        """N × tokens from ``len(run)`` × tokens."""
        found = np.repeat(self.constants[:, None], given.shape[1], axis=1)
        found[self.run] = given
        return found
