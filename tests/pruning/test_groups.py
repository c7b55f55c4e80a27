from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from codesign.pruning.groups import (
    expand,
    grid,
    group_norms,
    group_sums,
    group_weights,
    scale_groups_,
    tiles,
)

shapes = st.tuples(st.integers(1, 20), st.integers(1, 20))
blocks = st.tuples(st.integers(1, 7), st.integers(1, 7))


def cells(weight: torch.Tensor, block: tuple[int, int], i: int, j: int) -> list[tuple[int, int]]:
    """Positions of the weights of group (i, j), by definition."""
    return [
        (r, c)
        for r in range(weight.shape[0])
        for c in range(weight.shape[1])
        if r // block[0] == i and c // block[1] == j
    ]


@given(shapes, blocks, st.integers(0, 1 << 30))
def test_groups_are_what_loops_say(shape: tuple[int, int], block: tuple[int, int], seed: int) -> None:
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    rows, cols = grid(weight, block)
    assert (rows, cols) == (math.ceil(shape[0] / block[0]), math.ceil(shape[1] / block[1]))
    norms, sums, counts = group_norms(weight, block), group_sums(weight, block), group_weights(weight, block)
    factors = torch.randn((rows, cols), generator=torch.Generator().manual_seed(seed + 1))
    spread = expand(factors, weight, block)
    scaled = weight.clone()
    scale_groups_(scaled, factors, block)
    for i in range(rows):
        for j in range(cols):
            own = cells(weight, block, i, j)
            values = [float(weight[p]) for p in own]
            assert int(counts[i, j]) == len(own)
            assert float(norms[i, j]) == pytest.approx(math.sqrt(sum(v * v for v in values)), rel=1e-5, abs=1e-6)
            assert float(sums[i, j]) == pytest.approx(sum(values), rel=1e-4, abs=1e-5)
            assert all(spread[p] == factors[i, j] for p in own)
            assert all(scaled[p] == weight[p] * factors[i, j] for p in own)


def test_tiles_of_whole_blocks_are_a_view() -> None:
    weight = torch.zeros(4, 6)
    tiles(weight, (2, 3))[1, 0, 1, 2] = 7
    assert weight[2, 5] == 7
