"""The engine's interfaces against cocotbext-axi's models of AXI, with random pauses on every channel."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge, with_timeout
from cocotbext.axi import (
    AxiLiteBus,
    AxiLiteMaster,
    AxiRamRead,
    AxiReadBus,
    AxiStreamBus,
    AxiStreamFrame,
    AxiStreamSink,
    AxiStreamSource,
)

from codesign.codegen.registers import IDENTITY, VERSION, bit, offset

BASE = 0x4_0000_0000  # above 4 GiB: the upper half of the address counts
STRIDE = 0x0123_0000  # from one port's part of the images to the next one's
LIMIT = 400_000  # cycles


def pauses(seed: int, share: float) -> Iterator[bool]:
    """A generator of pauses."""
    chance = random.Random(seed)
    return (chance.random() < share for _ in itertools.count())


class Bench:
    """The engine with its models."""

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.request = json.loads(Path("request.json").read_text())
        given = {"clock": dut.clk, "reset": dut.reset_n, "reset_active_level": False}
        self.registers = AxiLiteMaster(AxiLiteBus.from_prefix(dut, "s_axil"), **given)
        self.source = AxiStreamSource(AxiStreamBus.from_prefix(dut, "s_axis"), **given)
        self.sink = AxiStreamSink(AxiStreamBus.from_prefix(dut, "m_axis"), **given)
        self.memories = []
        for port in range(self.request["ports"]):
            # Each port has a memory of its own: what it asks for elsewhere is not there.
            memory = AxiRamRead(AxiReadBus.from_prefix(dut, f"m_axi_{port}"), size=2**36, **given)
            memory.write(BASE + port * STRIDE, Path(f"external.{port}.bin").read_bytes())
            self.memories.append(memory)

    async def reset(self) -> None:
        """Reset of 20 cycles."""
        self.dut.reset_n.value = 0
        for _ in range(20):
            await RisingEdge(self.dut.clk)
        self.dut.reset_n.value = 1
        for _ in range(5):
            await RisingEdge(self.dut.clk)

    def pause(self, share: float) -> None:
        """Pauses on every channel."""
        seed = self.request["seed"]
        channels = [self.source, self.sink]
        channels += [channel for memory in self.memories for channel in (memory.ar_channel, memory.r_channel)]
        channels += [self.registers.write_if.b_channel, self.registers.read_if.r_channel]
        channels += [self.registers.write_if.aw_channel, self.registers.write_if.w_channel]
        channels += [self.registers.read_if.ar_channel]
        for number, channel in enumerate(channels):
            channel.set_pause_generator(pauses(seed + number, share))

    async def get(self, name: str) -> int:
        """A register's value."""
        return int(await self.registers.read_dword(offset(name)))

    async def put(self, name: str, value: int) -> None:
        """Write a register."""
        await self.registers.write_dword(offset(name), value)

    async def prepare(self) -> None:
        """What a run needs: where external memory is, which matrices, URAM."""
        await self.put("MEMORY_BASE_LOW", BASE & 0xFFFFFFFF)
        await self.put("MEMORY_BASE_HIGH", BASE >> 32)
        await self.put("MEMORY_STRIDE", STRIDE)
        await self.put("LAYERS", len(self.request["matrices"]))
        await self.put("TOKENS", self.request["tokens"])
        await self.put("INTERRUPT_ENABLE", 1)
        uram = Path("uram.bin").read_bytes()
        if uram:
            await self.put("CONTROL", bit("CONTROL", "LOAD"))
            await self.source.send(AxiStreamFrame(uram))
            await self.done()

    async def done(self) -> None:
        """Wait for the interrupt and clear it."""
        if not self.dut.irq.value:
            await with_timeout(RisingEdge(self.dut.irq), 2 * LIMIT, "step")
        await self.put("STATUS", bit("STATUS", "DONE"))
        await FallingEdge(self.dut.clk)
        assert not self.dut.irq.value

    async def run(self) -> None:
        """One run; every matrix's results against the expected ones."""
        await self.put("CONTROL", bit("CONTROL", "START"))
        for name in self.request["matrices"]:
            await self.source.send(AxiStreamFrame(Path(f"{name}.in.bin").read_bytes()))
        for name in self.request["matrices"]:
            frame = await with_timeout(self.sink.recv(), 2 * LIMIT, "step")
            wanted, cared = (Path(f"{name}.{kind}.bin").read_bytes() for kind in ("out", "care"))
            assert len(frame.tdata) == len(wanted), f"{name}: {len(frame.tdata)} bytes, {len(wanted)} expected"
            differ = sum(a != b and c for a, b, c in zip(frame.tdata, wanted, cared, strict=True))
            assert not differ, f"{name}: {differ} results differ"
        await self.done()


async def begin(dut: Any) -> Bench:
    """Clock, models, reset."""
    Clock(dut.clk, 2, unit="step").start()
    bench = Bench(dut)
    await bench.reset()
    return bench


@cocotb.test()
async def with_pauses(dut: Any) -> None:
    """Two runs with pauses on every channel, the second with others."""
    bench = await begin(dut)
    bench.pause(0.3)
    assert await bench.get("IDENTITY") == IDENTITY
    assert await bench.get("VERSION") == VERSION
    await bench.prepare()
    await bench.run()
    bench.pause(0.7)
    await bench.run()
    assert await bench.get("STATUS") == 0


@cocotb.test()
async def a_second_start_is_refused_and_flagged(dut: Any) -> None:
    """While a run is under way nothing else begins, and the run is not disturbed."""
    bench = await begin(dut)
    await bench.prepare()
    running = cocotb.start_soon(bench.run())
    while not await bench.get("STATUS") & bit("STATUS", "BUSY"):
        pass
    await bench.put("CONTROL", bit("CONTROL", "START"))
    assert await bench.get("STATUS") & bit("STATUS", "ERROR_BUSY")
    await running
    await bench.put("STATUS", bit("STATUS", "ERROR_BUSY"))
    assert await bench.get("STATUS") == 0
    await bench.run()


@cocotb.test()
async def requests_out_of_range_are_refused(dut: Any) -> None:
    """Numbers that the design does not have: flagged, and nothing begins."""
    bench = await begin(dut)
    await bench.prepare()
    count, tokens = len(bench.request["matrices"]), bench.request["tokens"]
    wrong = (("LAYERS", 0), ("LAYERS", count + 1), ("FIRST_LAYER", count), ("REPEATS", 0), ("TOKENS", 0))
    right = {"LAYERS": count, "FIRST_LAYER": 0, "REPEATS": 1, "TOKENS": tokens}
    for name, value in (*wrong, ("TOKENS", bench.request["max_tokens"] + 1)):
        await bench.put(name, value)
        await bench.put("CONTROL", bit("CONTROL", "START"))
        assert await bench.get("STATUS") == bit("STATUS", "ERROR_REQUEST"), f"{name} = {value}"
        await bench.put("STATUS", bit("STATUS", "ERROR_REQUEST"))
        await bench.put(name, right[name])
    await bench.run()


@cocotb.test()
async def reset_at_any_time(dut: Any) -> None:
    """A run broken off by reset leaves nothing behind."""
    bench = await begin(dut)
    for cycles in (7, 60, 150, 333):
        await bench.prepare()
        running = cocotb.start_soon(bench.run())
        for _ in range(cycles):
            await RisingEdge(dut.clk)
        running.cancel()
        bench.source.clear()
        await bench.reset()
        bench.sink.clear()
        assert await bench.get("STATUS") == 0
    await bench.prepare()
    await bench.run()


@cocotb.test()
async def a_misplaced_last_beat_is_flagged(dut: Any) -> None:
    """A matrix's activations in two packets: computed all the same, and flagged."""
    bench = await begin(dut)
    await bench.prepare()
    await bench.put("LAYERS", 1)
    data = Path(f"{bench.request['matrices'][0]}.in.bin").read_bytes()
    half = len(data) // 2 // (len(dut.s_axis_tdata) // 8) * (len(dut.s_axis_tdata) // 8)
    await bench.put("CONTROL", bit("CONTROL", "START"))
    await bench.source.send(AxiStreamFrame(data[:half]))
    await bench.source.send(AxiStreamFrame(data[half:]))
    await with_timeout(bench.sink.recv(), 2 * LIMIT, "step")
    await bench.done()
    assert await bench.get("STATUS") == bit("STATUS", "ERROR_FRAMING")
