from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from codesign.boards import DspType, board_names, load_board
from codesign.hardware.accelerator import Accelerator, WeightMemory, sparse_matrix
from codesign.hardware.cycles import fetch_cycles, matrix_cycles, pipeline_stages
from codesign.hardware.images import image_bits
from codesign.hardware.timeline import (
    ExternalMemory,
    ExternalPart,
    Job,
    Stalls,
    Streams,
    external_memory,
    streams,
    timeline,
)
from codesign.models import Matrix
from tests.hardware.designs import accelerators
from tests.hardware.test_cycles import EXAMPLE

E2 = DspType.DSP48E2
WIDE = Streams(activation_beats=1, result_beats=1, result_words=1 << 20)


def test_one_matrix_by_hand() -> None:
    # Two block rows of 1 and 2 blocks, 3 block columns, T = 32, F = 32, Q = 1.
    (times,) = timeline(EXAMPLE, E2, WIDE, [Job(3, (1, 2))], 128).times
    # 96 words of one beat each from cycle 1; two cycles later they are there.
    assert times.loaded == 98
    assert times.begun == 98
    # Three blocks of 32 cycles, 25 stages, 32 words; then 3 cycles to the stream.
    assert times.summed == 98 + 96
    assert times.written == times.summed + 32 + 25
    assert times.sent == times.written + 3


def test_what_the_array_waits_for_by_hand() -> None:
    array = timeline(EXAMPLE, E2, WIDE, [Job(3, (1, 2)), Job(3, (1, 2))], 128)
    first, second = array.times
    # The first index entry is there in cycle 1 + 1 + 3; its activations in cycle 98, the second job's 96 later.
    assert array.stalls() == Stalls(0, (98 - 5) + (second.begun - first.summed), 0)
    assert second.begun == second.loaded == 98 + 96
    # A row of one block takes 32 cycles, its 32 words of 4 beats 128: from the third row on each waits for the rest.
    narrow = Streams(activation_beats=1, result_beats=4, result_words=64)
    array = timeline(EXAMPLE, E2, narrow, [Job(1, (1,) * 50)], 128)
    assert array.stalls().results == array.times[0].summed - array.times[0].begun - 50 * 32


def test_the_next_matrix_arrives_meanwhile() -> None:
    first, second, third = timeline(EXAMPLE, E2, WIDE, [Job(3, (3, 3)), Job(3, (3, 3)), Job(3, (3, 3))], 128).times
    assert second.loaded == first.loaded + 96
    assert second.begun == first.summed
    # The third's activations wait for the first one's buffer.
    assert third.loaded == first.summed + 96 + 2


def test_a_narrow_stream_holds_the_array_up() -> None:
    # Rows of one block: 32 words every 32 cycles, of 4 beats each; 64 words have room.
    narrow = Streams(activation_beats=1, result_beats=4, result_words=64)
    (times,) = timeline(EXAMPLE, E2, narrow, [Job(1, (1,) * 50)], 128).times
    (free,) = timeline(EXAMPLE, E2, WIDE, [Job(1, (1,) * 50)], 128).times
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
    ).times
    sparse = sparse_matrix(
        Matrix("m", len(rows) * accelerator.rows, columns * accelerator.cols), *accelerator.block, rows
    )
    predicted = matrix_cycles(accelerator, E2, sparse, tokens, WeightMemory.BRAM, 0.0)
    assert times.begun == times.loaded
    assert times.written - times.begun == predicted


def test_external_memory_has_the_boards_rate() -> None:
    """zcu104: 80 % of 17.06 GB/s at 300 MHz are 45 37/75 bytes per cycle; a port is 16 bytes wide."""
    zcu104 = load_board("zcu104")
    assert external_memory(EXAMPLE, zcu104) == ExternalMemory(60, Fraction(1))
    assert external_memory(replace(EXAMPLE, axi_ports=2), zcu104, 7) == ExternalMemory(7, Fraction(1))
    four = external_memory(replace(EXAMPLE, axi_ports=4), zcu104)
    assert four.rate * 64 == 45 + Fraction(37, 75)
    assert external_memory(replace(EXAMPLE, axi_ports=0), zcu104) == ExternalMemory(60)
    # Whole numbers that 32 bits hold, with room to spare, at any clock.
    for name in board_names():
        board = load_board(name)
        array = replace(EXAMPLE, axi_ports=board.axi.ports, axi_port_bits=board.axi.port_bits, clock_mhz=333.333)
        rate = external_memory(array, board).rate
        assert 0 < rate <= 1
        assert rate.denominator < 1 << 31


def test_memory_bound_matrices_take_what_the_closed_form_says() -> None:
    """Beats come at the board's rate, as many as the plan's formula counts, behind one latency."""
    array = replace(EXAMPLE, lanes=32, axi_ports=4, weight_port_bits=512)
    zcu104 = load_board("zcu104")
    rows = [3] * 60
    sparse = sparse_matrix(Matrix("m", 16 * 60, 16 * 3), *array.block, rows)
    bits = image_bits(array, sparse)
    weights, constants = bits.blocks // 512, (bits.index + bits.channels) // 512
    job = Job(3, tuple(rows), ExternalPart(0, constants, constants, weights))
    memory = external_memory(array, zcu104)
    (times,) = timeline(array, E2, WIDE, [job], 128, memory=memory).times
    crossing = (weights + constants) / memory.rate
    assert crossing == Fraction(bits.total, 8) / (45 + Fraction(37, 75))
    # Within the latency, the pipeline of the reader and the last block in the array.
    assert crossing - 2 <= times.summed <= crossing + 60 + 30
    predicted = matrix_cycles(array, E2, sparse, 128, WeightMemory.DDR, zcu104.read_bytes_per_second)
    assert abs(times.written - crossing) <= 120
    assert predicted >= crossing
