"""Runs of the engine under cocotb: registers are driven from here, streams by the harness.

Where a run asks for it, every bit of every register is tried before, during and after it.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge, SimTimeoutError, with_timeout
from cocotb.utils import get_sim_time

from codesign.codegen.registers import IDENTITY, REGISTERS, VERSION, bit, offset

PERIOD = 2  # of the simulator's steps
PATIENCE = 1000  # cycles that a register may take to answer, which takes three
EXTERNAL_BASE, EXTERNAL_STRIDE = 0x1000_0000, 0x0400_0000  # as in the harness


async def _accepted(dut: Any, *ready: str) -> None:
    """From a falling edge to the one after the rising edge at which all these were high."""
    for _ in range(PATIENCE):
        await ReadOnly()
        now = all(getattr(dut, name).value for name in ready)
        await FallingEdge(dut.clk)
        if now:
            return
    raise AssertionError(f"{' and '.join(ready)} not high for {PATIENCE} cycles")


async def write(dut: Any, register: str, value: int, strobes: int = 15) -> None:
    """One AXI4-Lite write, between falling edges; the harness is always ready for the answer."""
    dut.awaddr.value = offset(register)
    dut.wdata.value, dut.wstrb.value = value, strobes
    dut.awvalid.value = dut.wvalid.value = 1
    await _accepted(dut, "awready", "wready")
    dut.awvalid.value = dut.wvalid.value = 0
    await FallingEdge(dut.clk)


async def read(dut: Any, register: str) -> int:
    """One AXI4-Lite read, between falling edges."""
    dut.araddr.value = offset(register)
    dut.arvalid.value = 1
    await _accepted(dut, "arready")
    dut.arvalid.value = 0
    # The answer comes one cycle after the address.
    value = int(dut.rdata.value)
    await FallingEdge(dut.clk)
    return value


async def write_out(dut: Any) -> None:
    """Let the harness write what it has kept."""
    dut.dump.value = 1
    await RisingEdge(dut.clk)
    await RisingEdge(dut.clk)


async def check(dut: Any, expected: dict[str, int]) -> None:
    """Every register that can be read holds what it should: after even and after odd numbers of cycles, as a bit that
    turns over in each of them would be right in every other one.
    """
    for _ in range(2):
        for name, value in expected.items():
            found = await read(dut, name)
            assert found == value, f"{name} reads {found:#x}, {value:#x} expected"
        await FallingEdge(dut.clk)


async def check_registers(dut: Any, request: dict[str, Any]) -> None:
    """Before a run: what is written is read, each bit by itself, and requests out of range are refused."""
    asked = {name: request[name.lower()] for name in ("FIRST_LAYER", "LAYERS", "REPEATS", "TOKENS")}
    begins = {"FIRST_LAYER": 0, "LAYERS": 1, "REPEATS": 1, "TOKENS": 1, "INTERRUPT_ENABLE": 0}
    begins |= {"MEMORY_BASE_LOW": 0, "MEMORY_BASE_HIGH": 0, "MEMORY_STRIDE": 0}
    still = {"IDENTITY": IDENTITY, "VERSION": VERSION, "CONTROL": 0}
    done = await read(dut, "STATUS")  # that URAM is full
    await write(dut, "STATUS", done)
    await check(dut, begins | still | {"STATUS": 0})
    for pattern in (0x9E3779B9, ~0x9E3779B9):
        written = {name: (pattern * (2 * place + 1)) % (1 << 32) for place, name in enumerate(begins)}
        for name, value in written.items():
            await write(dut, name, value)
        for strobes in range(15):  # a part of a word is not written
            await write(dut, "TOKENS", ~written["TOKENS"] % (1 << 32), strobes)
        await check(dut, written | {"INTERRUPT_ENABLE": written["INTERRUPT_ENABLE"] & 1} | still | {"STATUS": 0})
    # An address alone is no write, data alone neither.
    for valid in (dut.awvalid, dut.wvalid):
        dut.awaddr.value, dut.wdata.value, dut.wstrb.value = offset("TOKENS"), 0, 15
        valid.value = 1
        for _ in range(4):
            await FallingEdge(dut.clk)
        valid.value = 0
    await check(dut, {"TOKENS": written["TOKENS"]})
    await write(dut, "INTERRUPT_ENABLE", 0)
    for name, value in asked.items():
        await write(dut, name, value)
    count, limit = request["registers"]["layers"], request["registers"]["max_tokens"]
    wrong = [("FIRST_LAYER", count), ("LAYERS", 0), ("LAYERS", count + 1), ("REPEATS", 0)]
    wrong += [("TOKENS", 0), ("TOKENS", limit + 1), ("LAYERS", (1 << 32) - 1), ("FIRST_LAYER", (1 << 32) - 1)]
    wrong += [("REPEATS", 1 << place) for place in range(request["registers"]["repeat_bits"], 32)]
    for name, most in (("FIRST_LAYER", count - 1), ("LAYERS", count), ("TOKENS", limit)):
        wrong += [(name, 1 << place | asked[name]) for place in range(most.bit_length(), 32)]
    error = bit("STATUS", "ERROR_REQUEST")
    for name, value in wrong:
        await write(dut, name, value)
        await write(dut, "CONTROL", bit("CONTROL", "START"))
        found = await read(dut, "STATUS")
        assert found == error, f"{name} = {value:#x}: status {found:#x}"
        await write(dut, "STATUS", ~error % (1 << 32))
        await check(dut, {"STATUS": error})
        await write(dut, "STATUS", error)
        await write(dut, name, asked[name])
    if not request["load"]:
        await write(dut, "CONTROL", bit("CONTROL", "LOAD"))
        await check(dut, {"STATUS": error})
        await write(dut, "STATUS", error)
    # Neither a byte that is not written nor a bit without a meaning starts anything.
    await write(dut, "CONTROL", bit("CONTROL", "START") | bit("CONTROL", "LOAD"), 14)
    await write(dut, "CONTROL", 0xFFFFFFFC)
    await check(dut, asked | {"STATUS": 0})
    assert not dut.irq.value


async def check_finished(dut: Any) -> None:
    """After a run: bits of the status go one by one, and the interrupt goes with its enable and with DONE."""
    status = await read(dut, "STATUS")
    done, busy = bit("STATUS", "DONE"), bit("STATUS", "ERROR_BUSY")
    assert status & done
    assert status & busy, "a second start is not flagged"
    await write(dut, "STATUS", busy)
    await check(dut, {"STATUS": status & ~busy})
    await write(dut, "STATUS", ~done % (1 << 32))
    await check(dut, {"STATUS": done})
    for enable, shown in ((0, 0), (1, 1)):
        await write(dut, "INTERRUPT_ENABLE", enable)
        assert int(dut.irq.value) == shown
    await write(dut, "STATUS", done)
    assert not dut.irq.value
    readable = [register.name for register in REGISTERS if register.access == "r" and register.offset > 4]
    before = [await read(dut, name) for name in readable]
    for name in readable:  # counters are not written
        await write(dut, name, 0x5A5A5A5A)
    await check(dut, dict(zip(readable, before, strict=True)) | {"STATUS": 0})


@cocotb.test()
async def run(dut: Any) -> None:
    """The run that request.json asks for; what came of it goes to outcome.json, results.mem and times.mem."""
    request = json.loads(Path("request.json").read_text())
    dut.reset_n.value = dut.dump.value = dut.loading.value = 0
    dut.awvalid.value = dut.wvalid.value = dut.arvalid.value = dut.wstrb.value = 0
    for name in ("in_total", "in_pause", "out_pause", "read_pause", "latency", "grow", "cost", "seed"):
        getattr(dut, name).value = request[name]
    Clock(dut.clk, PERIOD, unit="step").start(start_high=False)
    for _ in range(20):
        await FallingEdge(dut.clk)
    dut.reset_n.value = 1
    for _ in range(4):
        await FallingEdge(dut.clk)
    assert await read(dut, "IDENTITY") == IDENTITY

    if request["load"]:
        dut.loading.value = 1
        await write(dut, "CONTROL", bit("CONTROL", "LOAD"))
        while not await read(dut, "STATUS") & bit("STATUS", "DONE"):
            pass
        dut.loading.value = 0
    if request["registers"]:
        await check_registers(dut, request)
    await write(dut, "MEMORY_BASE_LOW", EXTERNAL_BASE)
    await write(dut, "MEMORY_BASE_HIGH", 0)
    await write(dut, "MEMORY_STRIDE", EXTERNAL_STRIDE)
    for register in ("FIRST_LAYER", "LAYERS", "REPEATS", "TOKENS"):
        await write(dut, register, request[register.lower()])
    await write(dut, "INTERRUPT_ENABLE", 1)
    starting = cocotb.start_soon(write(dut, "CONTROL", bit("CONTROL", "START")))
    await RisingEdge(dut.started)
    start, began, processor = get_sim_time("step"), time.perf_counter(), time.process_time()
    if request["registers"]:
        # Neither a second start nor one to load URAM disturbs the run.
        await starting
        await write(dut, "CONTROL", bit("CONTROL", "START") | bit("CONTROL", "LOAD"))
        assert await read(dut, "STATUS") == bit("STATUS", "BUSY") | bit("STATUS", "ERROR_BUSY")
    try:
        await with_timeout(RisingEdge(dut.finished), request["limit"] * PERIOD, "step")
    except SimTimeoutError:
        await write_out(dut)
        raise AssertionError(f"no end after {request['limit']} cycles") from None
    stop, seconds, processor = get_sim_time("step"), time.perf_counter() - began, time.process_time() - processor
    if not dut.irq.value:
        await RisingEdge(dut.irq)
    await FallingEdge(dut.clk)

    counters = ("CYCLES", "STALLS_WEIGHTS", "STALLS_ACTIVATIONS", "STALLS_RESULTS", "STATUS")
    outcome = {name.lower(): await read(dut, name) for name in counters}
    outcome |= {"clock": (stop - start) // PERIOD, "seconds": seconds, "processor_seconds": processor}
    if request["registers"]:
        await check_finished(dut)
        outcome["status"] &= ~bit("STATUS", "ERROR_BUSY")
    await write_out(dut)
    Path("outcome.json").write_text(json.dumps(outcome))
