from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.hardware.accelerator import rows_to_run
from codesign.packing.blocks import pack, unpack
from codesign.packing.rows import WholeResults, block_rows_to_run, features_of, only_rows


@given(
    st.integers(1, 40), st.integers(1, 40), st.integers(1, 6), st.integers(1, 6), st.floats(0, 1), st.integers(0, 99)
)
def test_what_is_not_run_is_constant_and_the_rest_is_run(
    n: int, k: int, height: int, width: int, density: float, seed: int
) -> None:
    """Against W·x + b of the whole matrix, whatever the activations are."""
    g = np.random.default_rng(seed)
    mask = g.random((-(-n // height), -(-k // width))) < density
    weight = (g.integers(1, 4, (n, k)) * mask.repeat(height, 0).repeat(width, 1)[:n, :k]).astype(np.int8)
    bias, x = g.integers(-9, 10, n), g.integers(-3, 4, (k, 5))
    packed = pack(weight, (height, width), mask)

    rows = block_rows_to_run(packed)
    run, features = only_rows(packed, rows), features_of(rows, height, n)
    assert len(rows) == max(1, int(mask.any(axis=1).sum()))
    assert run.out_features == len(features)
    assert np.array_equal(unpack(run), weight[features])
    assert rows_to_run(packed.row_blocks.tolist()) == run.row_blocks.tolist()

    given = unpack(run).astype(int) @ x + bias[features, None]
    whole = WholeResults(n, features, bias.astype(np.int8))(given.astype(np.int8))
    assert np.array_equal(whole, weight.astype(int) @ x + bias[:, None])


def test_by_hand() -> None:
    # Three block rows of two features, the last one of one; the middle one has no blocks.
    weight = np.array([[1], [2], [0], [0], [3]], np.int8)
    packed = pack(weight, (2, 1))
    rows = block_rows_to_run(packed)
    assert rows.tolist() == [0, 2]
    assert features_of(rows, 2, 5).tolist() == [0, 1, 4]
    whole = WholeResults(5, features_of(rows, 2, 5), np.array([9, 9, 7, 8, 9], np.int8))
    assert whole(np.array([[1], [2], [3]], np.int8))[:, 0].tolist() == [1, 2, 7, 8, 3]


@pytest.mark.parametrize("height", [2, 3])
def test_a_matrix_without_blocks_runs_one_row(height: int) -> None:
    packed = pack(np.zeros((5, 4), np.int8), (height, 2))
    assert only_rows(packed, block_rows_to_run(packed)).out_features == height
    assert rows_to_run([0, 0, 0]) == [0]
