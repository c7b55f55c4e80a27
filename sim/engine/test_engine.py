"""Runs of the engine under cocotb: registers are driven from here, streams by the harness."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, ReadOnly, RisingEdge, SimTimeoutError, with_timeout
from cocotb.utils import get_sim_time

from codesign.codegen.registers import IDENTITY, bit, offset

PERIOD = 2  # of the simulator's steps
EXTERNAL_BASE, EXTERNAL_STRIDE = 0x1000_0000, 0x0400_0000  # as in the harness


async def _accepted(dut: Any, *ready: str) -> None:
    """From a falling edge to the one after the rising edge at which all these were high."""
    while True:
        await ReadOnly()
        now = all(getattr(dut, name).value for name in ready)
        await FallingEdge(dut.clk)
        if now:
            return


async def write(dut: Any, register: str, value: int) -> None:
    """One AXI4-Lite write, between falling edges; the harness is always ready for the answer."""
    dut.awaddr.value = offset(register)
    dut.wdata.value = value
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


@cocotb.test()
async def run(dut: Any) -> None:
    """The run that request.json asks for; what came of it goes to outcome.json, results.mem and times.mem."""
    request = json.loads(Path("request.json").read_text())
    dut.reset_n.value = dut.dump.value = dut.loading.value = 0
    dut.awvalid.value = dut.wvalid.value = dut.arvalid.value = 0
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
    await write(dut, "MEMORY_BASE_LOW", EXTERNAL_BASE)
    await write(dut, "MEMORY_STRIDE", EXTERNAL_STRIDE)
    for register in ("FIRST_LAYER", "LAYERS", "REPEATS", "TOKENS"):
        await write(dut, register, request[register.lower()])
    await write(dut, "INTERRUPT_ENABLE", 1)
    cocotb.start_soon(write(dut, "CONTROL", bit("CONTROL", "START")))
    await RisingEdge(dut.started)
    start, began, processor = get_sim_time("step"), time.perf_counter(), time.process_time()
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
    await write_out(dut)
    Path("outcome.json").write_text(json.dumps(outcome))
