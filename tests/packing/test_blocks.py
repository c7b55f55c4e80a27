"""Packing against a loop over blocks, on every kind of matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from codesign.packing.blocks import PackedMatrix, check, kept_blocks, pack, unpack

SIDES = st.integers(1, 40)


@st.composite
def masked(draw: st.DrawFn, limit: int = 127) -> tuple[NDArray[np.int8], tuple[int, int], NDArray[np.bool_]]:
    """A matrix with its block and mask: any sides, any density, empty block rows, all zero, dense."""
    rows, cols = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    out_features, in_features = draw(SIDES), draw(SIDES)
    grid = -(-out_features // rows), -(-in_features // cols)
    generator = np.random.default_rng(draw(st.integers(0, 1 << 30)))
    mask = generator.random(grid) < draw(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]))
    weight = generator.integers(-limit, limit + 1, (out_features, in_features)).astype(np.int8)
    kept = mask.repeat(rows, 0).repeat(cols, 1)[:out_features, :in_features]
    return weight * kept, (rows, cols), mask


def by_loop(
    weight: NDArray[np.int8], block: tuple[int, int], mask: NDArray[np.bool_]
) -> list[tuple[int, int, list[int]]]:
    """(block row, column, its R·C values row by row) of each kept block in schedule order, one value at a time."""
    rows, cols = block
    found = []
    for i in range(mask.shape[0]):
        for j in range(mask.shape[1]):
            if mask[i, j]:
                values = []
                for r in range(rows):
                    for c in range(cols):
                        n, k = i * rows + r, j * cols + c
                        inside = n < weight.shape[0] and k < weight.shape[1]
                        values.append(int(weight[n, k]) if inside else 0)
                found.append((i, j, values))
    return found


@given(masked())
@settings(max_examples=200, deadline=None)
def test_packing_is_the_loop_over_blocks_and_unpacking_its_inverse(
    case: tuple[NDArray[np.int8], tuple[int, int], NDArray[np.bool_]],
) -> None:
    weight, block, mask = case
    packed = pack(weight, block, mask)
    check(packed)
    wanted = by_loop(weight, block, mask)
    assert packed.blocks.reshape(len(wanted), block[0] * block[1]).tolist() == [values for _, _, values in wanted]
    assert packed.columns.tolist() == [column for _, column, _ in wanted]
    assert packed.row_blocks.tolist() == mask.sum(axis=1).tolist()
    assert np.array_equal(unpack(packed), weight)
    assert np.array_equal(kept_blocks(packed), mask)


def test_without_a_mask_blocks_of_zeros_go() -> None:
    weight = np.zeros((6, 6), np.int8)
    weight[5, 0] = 3
    packed = pack(weight, (2, 3))
    assert packed.row_blocks.tolist() == [0, 0, 1]
    assert packed.columns.tolist() == [0]
    assert np.array_equal(unpack(packed), weight)


def test_a_mask_that_drops_weights_is_refused() -> None:
    weight = np.ones((4, 4), np.int8)
    mask = np.array([[True, True], [True, False]])
    with pytest.raises(ValueError, match=r"block \(1, 1\) is masked, but not zero"):
        pack(weight, (2, 2), mask)
    with pytest.raises(ValueError, match=r"the mask is \(2, 2\), the matrix has \(4, 1\) blocks of 1×4"):
        pack(weight, (1, 4), mask)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"columns": np.array([0], np.int32)}, "2 blocks, 1 columns and 2 blocks in rows"),
        ({"row_blocks": np.array([1, 0], np.int32)}, "2 blocks, 2 columns and 1 blocks in rows"),
        ({"row_blocks": np.array([2], np.int32)}, "1 block rows for 4 output features"),
        ({"columns": np.array([0, 2], np.int32)}, "column blocks outside 0 to 1"),
        ({"columns": np.array([0, -1], np.int32)}, "column blocks outside 0 to 1"),
        (
            {"columns": np.array([1, 1], np.int32), "row_blocks": np.array([2, 0], np.int32)},
            "do not ascend at block 1",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused(change: dict[str, NDArray[np.int32]], message: str) -> None:
    packed = pack(np.eye(4, dtype=np.int8), (2, 2))
    parts = {**vars(packed), **change}
    with pytest.raises(ValueError, match=message):
        unpack(PackedMatrix(**parts))
