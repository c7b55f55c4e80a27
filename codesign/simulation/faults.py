"""Faults planted in the engine, one at a time, to see that the comparison catches them. ``make -C sim faults``.

A fault counts as caught when any of the designs below gives another bit, another cycle, a hang or an error flag, or
fails a test of the interfaces; one that does not compile is a mistake in this file.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from codesign.boards import DspType
from codesign.codegen.rtl import RTL
from codesign.errors import InputError
from codesign.hardware.accelerator import WeightMemory
from codesign.shipped import data_folder
from codesign.simulation.engine import EngineRun, Pauses, simulate, simulate_interfaces
from codesign.simulation.fuzz import differences
from codesign.simulation.random_designs import SMALL_ARRAY, RandomMatrix, random_run


@dataclass(frozen=True)
class Fault:
    """One change of one source.

    Attributes:
        what: The mistake, in words.
        file: Of ``hls_templates/rtl``.
        right: Text that is there once.
        wrong: What stands there instead.
    """

    what: str
    file: str
    right: str
    wrong: str


FAULTS = (
    Fault("activations unsigned", "pe_array.sv", "32'($signed(late[2*d]))", "32'(late[2*d])"),
    Fault(
        "weights unsigned",
        "pe_array.sv",
        "assign weight[c] = 32'($signed(weights[r][c]));",
        "assign weight[c] = 32'(weights[r][c]);",
    ),
    Fault("borrow of the lower field kept", "pe_row.sv", " + SUM_BITS'(result[FIELD_SHIFT-1])", ""),
    Fault(
        "lower field one bit short",
        "pe_row.sv",
        "result[FIELD_SHIFT-1:0]));\n          partial[0][1]",
        "result[FIELD_SHIFT-2:0]));\n          partial[0][1]",
    ),
    Fault("cascade skips a DSP", "pe_row.sv", ".added(cascade[k])", ".added(cascade[k > 1 ? k - 1 : k])"),
    Fault("short cascade not delayed", "pe_row.sv", ".CYCLES(CHAIN - Cols)) u_wait", ".CYCLES(0)) u_wait"),
    Fault("odd input of the adder tree lost", "adder_tree.sv", "sums[i] <= d[2*i];", "sums[i] <= '0;"),
    Fault("overlap of four products not corrected", "split_four.sv", "product[10:9] - known0", "product[10:9]"),
    Fault("middle product's borrow lost", "split_four.sv", " + 20'(mid0[10])", ""),
    Fault(
        "weights swapped one cycle late for the last columns",
        "weight_registers.sv",
        "if (arrivals[c % CHAIN].swap)",
        "if (arrivals[c == C - 1 ? 0 : c % CHAIN].swap)",
    ),
    Fault(
        "a weight word lands one word off",
        "weight_registers.sv",
        "WORD_INDEX_BITS'(Word))",
        "WORD_INDEX_BITS'(Word == 0 ? 0 : Word - 1))",
    ),
    Fault("accumulator not cleared at a block row's start", "accumulators.sv", "first ? '0 :", "1'b0 ? '0 :"),
    Fault("stale accumulator at T = 1", "accumulators.sv", "forward ? last_total :", "1'b0 ? last_total :"),
    Fault(
        "banks of the accumulators mixed up when reading",
        "accumulators.sv",
        "stored[read_bank_late]",
        "stored[!read_bank_late]",
    ),
    Fault(
        "a first block reads over the requantisation",
        "accumulators.sv",
        "ahead && !ahead_first && ahead_bank",
        "ahead && ahead_bank",
    ),
    Fault("an empty block row keeps old sums", "accumulators.sv", "read_zero_late ? '0 :", "1'b0 ? '0 :"),
    Fault("no rounding", "requantiser.sv", " + $signed({48'd0, below})", ""),
    Fault(
        "shift logical instead of arithmetic",
        "requantiser.sv",
        "(product >>> shift_late)",
        "$signed(product >> shift_late)",
    ),
    Fault("saturation to -128", "requantiser.sv", "rounded < -limit ? -limit", "rounded < -limit - 1 ? -limit - 1"),
    Fault("saturation above missing", "requantiser.sv", "rounded > limit ? limit :", "1'b0 ? limit :"),
    Fault("bias left out", "requantiser.sv", " + 33'($signed(bias))", ""),
    Fault(
        "multiplier signed",
        "requantiser.sv",
        ".multiplier({2'b00, multiplier_late})",
        ".multiplier(18'($signed(multiplier_late)))",
    ),
    Fault(
        "wrong half of the activation table",
        "activation_tables.sv",
        "{number, which, !value[7]",
        "{number, which, value[7]",
    ),
    Fault("always the first of two tables", "activation_tables.sv", "{number, which,", "{number, 1'b0,"),
    Fault(
        "last block of a matrix lost",
        "sequencer.sv",
        "outer_last : read_left == 1);",
        "outer_last : read_left <= 2);",
    ),
    Fault(
        "block row shorter than its requantisation",
        "sequencer.sv",
        "assign row_over  = row_old && result_room;",
        "assign row_over  = result_room;",
    ),
    Fault(
        "last token group issued again and again",
        "sequencer.sv",
        "assign issue        = current_valid && !current.empty && position < groups;",
        "assign issue        = current_valid && !current.empty;",
    ),
    Fault(
        "index queue one entry too deep",
        "sequencer.sv",
        "promised < (QueueBits + 1)'(Queue)",
        "promised <= (QueueBits + 1)'(Queue)",
    ),
    Fault(
        "weights of the next matrix from the present one's end",
        "sequencer.sv",
        "restart && fetch_first ? bases[bases_out]",
        "1'b0 ? bases[bases_out]",
    ),
    Fault("channel constants do not move on", "sequencer.sv", "channel + CHANNEL_ADDRESS_BITS'(Q)", "channel"),
    Fault("matrix begins before its activations", "sequencer.sv", "&& (!head.job_first || activation_ready)", ""),
    Fault(
        "schedule one cycle slower per block", "sequencer.sv", "position >= slot_now - 1'b1;", "position >= slot_now;"
    ),
    Fault("both matrices in one activation buffer", "activation_buffers.sv", "scaled_by(32'(half), Words) + ", ""),
    Fault(
        "activations of a third matrix overwrite the first",
        "activation_buffers.sv",
        "job_valid && used != 2'd2",
        "job_valid",
    ),
    Fault(
        "results without regard to room",
        "result_store.sv",
        "assign room   = free >= CountBits'(words);",
        "assign room   = 1'b1;",
    ),
    Fault(
        "back-pressure on results dropped",
        "result_store.sv",
        "assign pop    = m_valid && m_ready &&",
        "assign pop    = m_valid &&",
    ),
    Fault(
        "last beat marked too early",
        "result_store.sv",
        "assign m_last = last && beat == BeatBits'(RESULT_BEATS - 1);",
        "assign m_last = last;",
    ),
    Fault(
        "burst across 4 KiB",
        "external_reader.sv",
        "found = 32'(of_page) < Longest ? 32'(of_page) : Longest;",
        "found = Longest;",
    ),
    Fault(
        "burst one beat short",
        "external_reader.sv",
        "assign m_arlen    = 8'(length - 1'b1);",
        "assign m_arlen    = 8'(length - 2'd2);",
    ),
    Fault(
        "beats asked for without room",
        "external_reader.sv",
        "room         <= RoomBits'(READ_BEATS);",
        "room         <= '1;",
    ),
    Fault(
        "constants of two matrices in one buffer",
        "external_constants.sv",
        "if (last) buffer <= buffer == 2'd2 ? 2'd0 : buffer + 1'b1;",
        "",
    ),
    Fault(
        "upper half of the address of external memory ignored",
        "registers.sv",
        "memory_base[63:32] <= s_wdata;",
        "memory_base[63:32] <= '0;",
    ),
    Fault(
        "second start accepted",
        "registers.sv",
        "if (busy || start) error_busy <= 1'b1;",
        "if (1'b0) error_busy <= 1'b1;",
    ),
    Fault("more tokens than fit accepted", "registers.sv", "tokens != 0 && tokens <= 32'(MAX_TOKENS)", "tokens != 0"),
    Fault("a result survives reset", "delay_valid.sv", "line[i] && !reset", "line[i]"),
    Fault("repeats lost", "job_walker.sv", "job_valid    <= repeats_left != 1;", "job_valid    <= 1'b0;"),
)

_ARRAY = replace(SMALL_ARRAY, cols=10)
"""With cascades of more than one length."""


def designs() -> Iterator[tuple[EngineRun, list[object]]]:
    """Small designs that between them use every part of the engine."""
    ddr, uram = WeightMemory.DDR, WeightMemory.URAM
    shapes = [
        RandomMatrix(14, 24, 0.6),
        RandomMatrix(9, 30, 0.3, table=True, memory=uram),
        RandomMatrix(40, 7, 0.2, memory=ddr),
        RandomMatrix(12, 60, 0.9, table=True, memory=ddr),
        RandomMatrix(8, 6, 1.0),
    ]
    run, expected = random_run(_ARRAY, shapes, 10, 11, repeats=3)
    yield run, list(expected)
    yield replace(run, pauses=Pauses(100, 230, 60)), list(expected)
    single = replace(run, activations=[x[:, :1] for x in run.activations])
    yield single, [y[:, :1] for y in expected]
    four = replace(
        _ARRAY, weight_bits=4, dsp_packing=4, rows=5, cols=7, requant_interval=1, weight_port_bits=8, axi_ports=0
    )
    yield random_run(four, [RandomMatrix(13, 20, 0.6), RandomMatrix(9, 30, 0.3, table=True)], 7, 12)  # type: ignore[misc]
    one = replace(_ARRAY, dsp_packing=1, rows=3, cols=5, lanes=1, requant_interval=3)
    yield random_run(one, [RandomMatrix(13, 20, 0.6, memory=ddr)], 12, 13, dsp_type=DspType.DSP48E1)  # type: ignore[misc]
    # Weights wait for the array longer than they take to come, so that their queue fills up.
    slow = replace(_ARRAY, rows=16, cols=16, lanes=1, max_tokens=50)
    yield random_run(slow, [RandomMatrix(100, 300, 0.9, memory=ddr)], 50, 14)  # type: ignore[misc]
    # A block per cycle.
    quick = replace(_ARRAY, rows=2, cols=4, requant_interval=1)
    yield random_run(quick, [RandomMatrix(20, 40, 0.7), RandomMatrix(9, 40, 0.3)], 2, 15)  # type: ignore[misc]
    # So many blocks to a row that sums wrong by one each show in the results, which keep few of a sum's bits.
    narrow = replace(_ARRAY, cols=2, requant_interval=1)
    yield random_run(narrow, [RandomMatrix(120, 400, 0.9)], 12, 16)  # type: ignore[misc]


def places(fault: Fault) -> int:
    """How often what a fault changes stands in its source: once, if the fault is to mean anything."""
    return (data_folder("hls_templates") / RTL / fault.file).read_text(encoding="utf-8").count(fault.right)


def caught(fault: Fault | None, work: Path) -> str | None:
    """What first shows a fault; None if nothing does.

    Raises:
        InputError: The changed sources do not compile.
    """
    changed = () if fault is None else ((fault.file, fault.right, fault.wrong),)
    every = list(designs())
    for number, (run, expected) in enumerate(every):
        run = replace(run, changed=changed)
        try:
            told = differences(run, simulate(run, work, fast_build=True), expected)  # type: ignore[arg-type]
        except InputError as error:
            if "build.log" in str(error):
                raise
            told = [str(error).partition(": ")[2]]
        if told:
            return f"design {number}: {told[0][:90]}"
    run, expected = every[0]
    try:
        simulate_interfaces(replace(run, changed=changed, repeats=1), expected, work)  # type: ignore[arg-type]
    except InputError as error:
        if "build.log" in str(error):
            raise
        return f"interfaces: {str(error).partition(': ')[2][:90]}"
    return None


def main() -> int:
    """Plant every fault; exit code 1 if more than one escapes or the right engine is not clean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work-dir", type=Path, default=Path("build/sim/faults"))
    parser.add_argument("--only", type=int, action="append", help="numbers of faults")
    given = parser.parse_args()
    for fault in FAULTS:
        if (count := places(fault)) != 1:
            print(f"{fault.file}: {count} times in it: {fault.right}")
            return 1
    began = time.time()
    if (told := caught(None, given.work_dir)) is not None:
        print(f"the engine itself is not right: {told}")
        return 1
    escaped = []
    for number, fault in enumerate(FAULTS):
        if given.only and number not in given.only:
            continue
        told = caught(fault, given.work_dir)
        print(f"{number:2} {'caught ' if told else 'ESCAPED'} {fault.what}: {told or fault.file}", flush=True)
        if told is None:
            escaped.append(fault)
    count = len(given.only or FAULTS)
    print(f"{count - len(escaped)} of {count} caught, {time.time() - began:.0f} s")
    return 1 if len(escaped) > 1 else 0


if __name__ == "__main__":
    sys.exit(main())
