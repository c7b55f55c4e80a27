from __future__ import annotations

from dataclasses import replace
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codesign.boards import DspType
from codesign.errors import InputError
from codesign.hardware.accelerator import (
    Accelerator,
    SparseMatrix,
    WeightMemory,
    block_grid,
    sparse_matrix,
    spread_evenly,
)
from codesign.hardware.cycles import (
    array_stages,
    external_weight_bytes,
    fetch_cycles,
    kernel_trips,
    matrix_cycles,
    pipeline_stages,
    requantise_stages,
    token_groups,
)
from codesign.models import Matrix
from tests.hardware.designs import accelerators, sparse_matrices

BRAM, DDR = WeightMemory.BRAM, WeightMemory.DDR
E2 = DspType.DSP48E2

# The array of the design's example: 16×16 blocks, 4 lanes.
EXAMPLE = Accelerator(
    rows=16,
    cols=16,
    lanes=4,
    weight_bits=8,
    dsp_packing=2,
    clock_mhz=300.0,
    max_tokens=128,
    weight_port_bits=64,
    axi_ports=1,
    axi_port_bits=128,
    requant_interval=1,
)


def step_by_step(accelerator: Accelerator, rows: list[int], tokens: int, fetch: int) -> int:
    """The engine's schedule, one cycle at a time, up to the end of requantisation (no pipeline registers)."""
    groups = ceil(tokens / accelerator.lanes)
    interval = accelerator.requant_interval
    clock = 0  # the first block has been fetched while the activations arrived
    requantising = 0  # cycles that the block row before this one still needs
    for blocks in rows:
        busy = blocks * max(groups, fetch)  # each block streams all groups; the next is fetched meanwhile
        elapsed = 0
        # The two sets of accumulators change places when both the sums and the requantiser are done. A slot is
        # as long for the first block row, which has none before it: the sequencer does not treat it differently.
        waiting = max(requantising, groups * interval)
        while elapsed < busy or elapsed < waiting:
            elapsed += 1
            clock += 1
        requantising = groups * interval
    return clock + requantising


def test_hand_worked_dense_example() -> None:
    # 384×384 dense, 128 tokens: T = 32, F = 16·16·8/64 = 32, 24 block rows of 24 blocks.
    sparse = spread_evenly(Matrix("m", 384, 384), 16, 16, 24 * 24)
    assert token_groups(EXAMPLE, 128) == 32
    assert fetch_cycles(EXAMPLE, BRAM, 0.0) == 32
    # Reading activations 2, multiplying 3, splitting 1; a cascade of 8 DSPs adds 7, two cascades need one adder.
    assert array_stages(EXAMPLE, E2) == 6 + 7 + 1
    # Reading sums 1, choosing rows 1, bias 1, multiplying 3, rounding 1, saturating 1; two more with tables.
    assert (requantise_stages(tables=False), requantise_stages(tables=True)) == (9, 11)
    assert pipeline_stages(EXAMPLE, E2) == 14 + 11
    assert matrix_cycles(EXAMPLE, E2, sparse, 128, BRAM, 0.0) == 24 * 24 * 32 + 32 + 25
    assert matrix_cycles(EXAMPLE, E2, sparse, 128, BRAM, 0.0, tables=False) == 24 * 24 * 32 + 32 + 23


def test_hand_worked_sparse_example() -> None:
    # Three block rows with 0, 1 and 5 blocks, Q = 4, T = 3 (10 tokens on 4 lanes), F = 32:
    # slots max(0, 12), max(32, 12), max(160, 12); then 12 to requantise the last.
    accelerator = replace(EXAMPLE, requant_interval=4)
    sparse = sparse_matrix(Matrix("m", 48, 80), 16, 16, [0, 1, 5])
    expected = (12 + 32 + 160) + 12 + 25
    assert matrix_cycles(accelerator, E2, sparse, 10, BRAM, 0.0) == expected


def test_hand_worked_external_memory() -> None:
    # 300 MHz and 3 GB/s: 10 bytes a cycle, of a port that could do 16. A block of 256 bytes takes 26 cycles.
    assert fetch_cycles(EXAMPLE, DDR, 3e9) == 26
    # Port bound: 16 bytes a cycle of a faster memory.
    assert fetch_cycles(EXAMPLE, DDR, 12e9) == 16
    sparse = spread_evenly(Matrix("m", 32, 32), 16, 16, 4)
    # 4 blocks of 256 bytes; beats of 16 bytes: one for 4 index entries, 7 for each row's 16 channels of 55 bits.
    assert external_weight_bytes(EXAMPLE, sparse) == 4 * 256 + 16 + 2 * 7 * 16
    # T = 1: 4 blocks of 26 cycles each are 104, but all bytes at 10 a cycle take 127.
    assert matrix_cycles(EXAMPLE, E2, sparse, 4, DDR, 3e9) == 26 + 127 + 1 + 25


def test_more_tokens_than_the_buffers_hold_take_passes() -> None:
    sparse = spread_evenly(Matrix("m", 64, 64), 16, 16, 10)
    accelerator = replace(EXAMPLE, max_tokens=32)
    one = matrix_cycles(accelerator, E2, sparse, 32, BRAM, 0.0)
    rest = matrix_cycles(accelerator, E2, sparse, 5, BRAM, 0.0)
    assert matrix_cycles(accelerator, E2, sparse, 3 * 32 + 5, BRAM, 0.0) == 3 * one + rest


@given(data=st.data(), accelerator=accelerators(longest=200))
def test_the_formula_is_the_schedule_step_by_step(data: st.DataObject, accelerator: Accelerator) -> None:
    matrix = Matrix("m", data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60)))
    grid_rows, grid_cols = block_grid(matrix, *accelerator.block)
    rows = data.draw(st.lists(st.integers(0, grid_cols), min_size=grid_rows, max_size=grid_rows))
    tokens = data.draw(st.integers(1, accelerator.max_tokens))
    fetch = ceil(accelerator.rows * accelerator.cols * accelerator.weight_bits / accelerator.weight_port_bits)
    sparse = sparse_matrix(matrix, *accelerator.block, rows)
    predicted = matrix_cycles(accelerator, E2, sparse, tokens, BRAM, 0.0)
    assert predicted - pipeline_stages(accelerator, E2) == step_by_step(accelerator, rows, tokens, fetch)


@given(data=st.data(), accelerator=accelerators())
def test_fewer_blocks_never_take_longer(data: st.DataObject, accelerator: Accelerator) -> None:
    sparse = data.draw(sparse_matrices(accelerator))
    counts = [blocks for blocks, n in sparse.rows for _ in range(n)]
    fewer = [data.draw(st.integers(0, blocks)) for blocks in counts]
    sparser = sparse_matrix(sparse.matrix, *accelerator.block, fewer)
    tokens = data.draw(st.integers(1, 100))
    for memory in (BRAM, DDR):
        assert matrix_cycles(accelerator, E2, sparser, tokens, memory, 1e9) <= matrix_cycles(
            accelerator, E2, sparse, tokens, memory, 1e9
        )


@given(data=st.data(), accelerator=accelerators(), slow=st.floats(1e7, 1e11), more=st.floats(1, 10))
def test_more_bandwidth_never_takes_longer(
    data: st.DataObject, accelerator: Accelerator, slow: float, more: float
) -> None:
    sparse = data.draw(sparse_matrices(accelerator))
    tokens = data.draw(st.integers(1, 100))

    def cycles(rate: float) -> int:
        return matrix_cycles(accelerator, E2, sparse, tokens, DDR, rate)

    # More ports are another matter: the beats get wider, and so does what fills them up.
    assert cycles(slow * more) <= cycles(slow)


@given(data=st.data(), accelerator=accelerators())
def test_more_lanes_or_a_wider_port_never_take_longer(data: st.DataObject, accelerator: Accelerator) -> None:
    sparse = data.draw(sparse_matrices(accelerator))
    tokens = data.draw(st.integers(1, accelerator.max_tokens))
    now = matrix_cycles(accelerator, E2, sparse, tokens, BRAM, 0.0)
    for better in (
        replace(accelerator, lanes=accelerator.lanes + 1),
        replace(accelerator, weight_port_bits=2 * accelerator.weight_port_bits),
    ):
        assert matrix_cycles(better, E2, sparse, tokens, BRAM, 0.0) <= now


def test_even_spread_keeps_every_block() -> None:
    sparse = spread_evenly(Matrix("m", 70, 50), 16, 16, 11)  # 5 block rows × 4 block columns
    assert sparse == SparseMatrix(Matrix("m", 70, 50), 20, ((2, 4), (3, 1)), 4)
    assert sparse.nonzero_blocks == 11
    assert spread_evenly(Matrix("m", 70, 50), 16, 16, 999).nonzero_blocks == 20


def test_the_array_of_an_encoder_is_as_deep_as_for_eight_bits() -> None:
    # K and V have eight bits: cascades of 16 columns are of eight, whatever the weights; int4 alone sums 16 in one.
    encoder = replace(EXAMPLE, vector_width=64)
    assert array_stages(replace(encoder, weight_bits=4), E2) == array_stages(encoder, E2)
    assert array_stages(replace(EXAMPLE, weight_bits=4), E2) == array_stages(EXAMPLE, E2) + 8 - 1


def test_an_empty_block_row_has_an_index_word() -> None:
    # It has no blocks, but a bias.
    assert sparse_matrix(Matrix("m", 48, 80), 16, 16, [0, 1, 5]).index_entries == 1 + 1 + 5


def test_counts_that_do_not_fit_the_matrix_are_refused() -> None:
    matrix = Matrix("m", 32, 32)
    for counts in ([1], [1, 2, 2], [1, 3], [-1, 2]):
        with pytest.raises(ValueError, match="needs 2 counts from 0 to 2"):
            sparse_matrix(matrix, 16, 16, counts)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rows", 0),
        ("lanes", -1),
        ("weight_bits", 5),
        ("dsp_packing", 4),
        ("requant_interval", 3),
        ("clock_mhz", 0.0),
        ("axi_ports", -1),
        ("axi_ports", 3),
        ("axi_port_bits", 48),
        ("stream_bits", 48),
        ("stream_bits", 16),
        ("max_tokens", 0),
    ],
)
def test_impossible_parameters_are_named(field: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"accelerator\.{field}: .*got {value}.*accepted"):
        replace(EXAMPLE, **{field: value})


def test_external_weights_need_a_port() -> None:
    with pytest.raises(ValueError, match="at least one port"):
        fetch_cycles(replace(EXAMPLE, axi_ports=0), DDR, 1e9)


@given(accelerators(), st.data())
def test_the_kernel_s_trips_are_the_cycles_without_stages(accelerator: Accelerator, data: st.DataObject) -> None:
    """On chip: matrix_cycles counts from the first block's presence on, and the pipeline's stages behind."""
    rows = data.draw(st.lists(st.integers(0, 9), min_size=1, max_size=9))
    tokens = data.draw(st.integers(1, accelerator.max_tokens))
    matrix = Matrix("m", len(rows) * accelerator.rows, 9 * accelerator.cols)
    sparse = sparse_matrix(matrix, accelerator.rows, accelerator.cols, rows)
    stages = pipeline_stages(accelerator, E2)
    cycles = matrix_cycles(accelerator, E2, sparse, tokens, BRAM, 0.0)
    first = fetch_cycles(accelerator, BRAM, 0.0) if any(rows) else 0
    assert kernel_trips(accelerator, rows, tokens) == first + cycles - stages


def test_the_kernel_s_trips_by_hand() -> None:
    """4 lanes, 10 tokens: 3 groups; blocks of 2 words; a requantiser for two rows."""
    array = replace(EXAMPLE, requant_interval=2, weight_port_bits=16 * 16 * 8 // 2)
    # Two words in front; three blocks of 3; one block, but 6 for the row before; an empty row's 6; the last row's 6.
    assert kernel_trips(array, [3, 1, 0], 10) == 2 + 9 + 6 + 6 + 6
    assert kernel_trips(array, [0, 0], 10) == 6 + 6 + 6
    # One group: a block waits for the next one's second word.
    assert kernel_trips(array, [3], 1) == 2 + 6 + 2
