from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.packing.blocks import pack, unpack
from codesign.packing.part import WholeResults, part_to_run


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 6), st.integers(1, 6), st.floats(0, 1), st.integers(0, 99)
)
def test_the_part_and_the_constants_give_what_the_whole_matrix_gives(
    n: int, k: int, height: int, width: int, density: float, seed: int
) -> None:
    """W·x + b, whatever the activations are."""
    g = np.random.default_rng(seed)
    mask = g.random((-(-n // height), -(-k // width))) < density
    weight = (g.integers(1, 4, (n, k)) * mask.repeat(height, 0).repeat(width, 1)[:n, :k]).astype(np.int8)
    bias, x = g.integers(-9, 10, n), g.integers(-3, 4, (k, 5))

    packed = pack(weight, (height, width), mask)
    part = part_to_run(packed)
    assert np.array_equal(unpack(part.packed), weight[part.outputs][:, part.inputs])
    given = unpack(part.packed).astype(int) @ x[part.inputs] + bias[part.outputs, None]
    whole = WholeResults(part.outputs, bias.astype(np.int8))(given.astype(np.int8))
    assert np.array_equal(whole, weight.astype(int) @ x + bias[:, None])

    # No row and no column more than those with blocks.
    assert len(part.packed.row_blocks) == max(1, int(mask.any(axis=1).sum()))
    assert part.packed.block_columns == max(1, int(mask.any(axis=0).sum()))


def test_by_hand() -> None:
    # Three block rows of two features, the last one of one; the middle one has no blocks, nor has the first column.
    weight = np.array([[0, 1], [0, 2], [0, 0], [0, 0], [0, 3]], np.int8)
    part = part_to_run(pack(weight, (2, 1)))
    assert part.outputs.tolist() == [0, 1, 4]
    assert part.inputs.tolist() == [1]
    assert part.packed.columns.tolist() == [0, 0]
    whole = WholeResults(part.outputs, np.array([9, 9, 7, 8, 9], np.int8))
    assert whole(np.array([[1], [2], [3]], np.int8))[:, 0].tolist() == [1, 2, 7, 8, 3]


@pytest.mark.parametrize("height", [2, 3])
def test_a_matrix_without_blocks_runs_one_row_of_one_column(height: int) -> None:
    part = part_to_run(pack(np.zeros((5, 4), np.int8), (height, 2)))
    assert (part.packed.out_features, part.packed.in_features) == (height, 2)
    assert part.packed.row_blocks.tolist() == [0]
