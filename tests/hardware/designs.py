"""Random designs and matrices for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from codesign.hardware.accelerator import Accelerator, SparseMatrix, block_grid, sparse_matrix
from codesign.models import Matrix


@st.composite
def accelerators(draw: st.DrawFn, longest: int = 40) -> Accelerator:
    rows = draw(st.sampled_from((1, 2, 4, 6, 8, 16)))
    bits = draw(st.sampled_from((8, 4)))
    return Accelerator(
        rows=rows,
        cols=draw(st.sampled_from((1, 2, 4, 8, 12))),
        lanes=draw(st.integers(1, 12)),
        weight_bits=bits,
        dsp_packing=draw(st.sampled_from((1, 2) if bits == 8 else (1, 2, 4))),
        clock_mhz=draw(st.sampled_from((100.0, 250.0, 300.0))),
        max_tokens=draw(st.integers(1, longest)),
        weight_port_bits=draw(st.sampled_from((8, 16, 64, 256))),
        axi_ports=draw(st.sampled_from((1, 2, 4))),
        axi_port_bits=draw(st.sampled_from((64, 128))),
        requant_interval=draw(st.sampled_from([q for q in (1, 2, 3, 4, 8) if rows % q == 0])),
    )


@st.composite
def sparse_matrices(draw: st.DrawFn, accelerator: Accelerator) -> SparseMatrix:
    matrix = Matrix("m", draw(st.integers(1, 60)), draw(st.integers(1, 60)))
    grid_rows, grid_cols = block_grid(matrix, *accelerator.block)
    counts = draw(st.lists(st.integers(0, grid_cols), min_size=grid_rows, max_size=grid_rows))
    return sparse_matrix(matrix, *accelerator.block, counts)
