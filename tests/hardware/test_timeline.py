from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from codesign.boards import DspType
from codesign.hardware.accelerator import Accelerator, WeightMemory, sparse_matrix
from codesign.hardware.cycles import fetch_cycles, matrix_cycles, pipeline_stages
from codesign.hardware.timeline import Job, Streams, streams, timeline
from codesign.models import Matrix
from tests.hardware.designs import accelerators
from tests.hardware.test_cycles import EXAMPLE

E2 = DspType.DSP48E2
WIDE = Streams(activation_beats=1, result_beats=1, result_words=1 << 20)


def test_one_matrix_by_hand() -> None:
    # Two block rows of 1 and 2 blocks, 3 block columns, T = 32, F = 32, Q = 1.
    (times,) = timeline(EXAMPLE, E2, WIDE, [Job(3, (1, 2))], 128)
    # 96 words of one beat each from cycle 1; two cycles later they are there.
    assert times.loaded == 98
    assert times.begun == 98
    # Three blocks of 32 cycles, 25 stages, 32 words; then 3 cycles to the stream.
    assert times.summed == 98 + 96
    assert times.written == times.summed + 32 + 25
    assert times.sent == times.written + 3


def test_the_next_matrix_arrives_meanwhile() -> None:
    first, second, third = timeline(EXAMPLE, E2, WIDE, [Job(3, (3, 3)), Job(3, (3, 3)), Job(3, (3, 3))], 128)
    assert second.loaded == first.loaded + 96
    assert second.begun == first.summed
    # The third's activations wait for the first one's buffer.
    assert third.loaded == first.summed + 96 + 2


def test_a_narrow_stream_holds_the_array_up() -> None:
    # Rows of one block: 32 words every 32 cycles, of 4 beats each; 64 words have room.
    narrow = Streams(activation_beats=1, result_beats=4, result_words=64)
    (times,) = timeline(EXAMPLE, E2, narrow, [Job(1, (1,) * 50)], 128)
    (free,) = timeline(EXAMPLE, E2, WIDE, [Job(1, (1,) * 50)], 128)
    assert free.sent - free.begun < 51 * 32 + 60
    # 50 rows of 32 words of 4 beats: the stream never rests.
    assert times.sent - times.begun == 32 + 1 + pipeline_stages(EXAMPLE, E2) + 3 + 50 * 32 * 4 - 1


@given(st.data(), accelerators(longest=200))
def test_a_single_matrix_takes_what_the_formula_says(data: st.DataObject, accelerator: Accelerator) -> None:
    """Where loading takes longer than fetching a block. (More than eight empty rows on end may keep the index reader
    from seeing the next block in time.)"""
    columns = data.draw(st.integers(1, 6))
    rows = data.draw(st.lists(st.integers(0, columns), min_size=1, max_size=8))
    tokens = data.draw(st.integers(1, accelerator.max_tokens))
    fetch = fetch_cycles(accelerator, WeightMemory.BRAM, 0.0)
    sides = streams(accelerator, len(rows))
    (times,) = timeline(
        accelerator,
        E2,
        replace(sides, result_words=1 << 30, activation_beats=fetch + 20),
        [Job(columns, tuple(rows))],
        tokens,
    )
    sparse = sparse_matrix(
        Matrix("m", len(rows) * accelerator.rows, columns * accelerator.cols), *accelerator.block, rows
    )
    predicted = matrix_cycles(accelerator, E2, sparse, tokens, WeightMemory.BRAM, 0.0)
    assert times.begun == times.loaded
    assert times.written - times.begun == predicted
