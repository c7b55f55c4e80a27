"""The wrapper for Vivado: every port named, described and connected. (Its simulation: tests/simulation.)"""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest

from codesign.boards import DspType
from codesign.codegen.rtl import TOP, rtl_files
from codesign.hardware.accelerator import WeightMemory
from codesign.simulation.random_designs import SMALL_ARRAY, RandomMatrix, random_run

ATTRIBUTE = re.compile(r'\(\* X_INTERFACE_INFO = "xilinx\.com:(\S+):1\.0 (\w+) (\w+)" \*\)')
PORT = re.compile(r"(input|output) +wire +(?:\[(\d+):0\] +)?(\w+),?")

# AXI4's read channels without those of several threads, regions and users (Arm IHI 0022).
READ_MASTER = {
    "output": {
        "arvalid",
        "araddr",
        "arlen",
        "arsize",
        "arburst",
        "arid",
        "arlock",
        "arcache",
        "arprot",
        "arqos",
        "rready",
    },
    "input": {"arready", "rvalid", "rdata", "rresp", "rlast", "rid"},
}


def text(ports: int) -> str:
    memory = WeightMemory.DDR if ports else WeightMemory.BRAM
    array = replace(SMALL_ARRAY, axi_ports=ports, weight_port_bits=64 * max(ports, 1))
    run, _ = random_run(array, [RandomMatrix(14, 20, 0.6, memory=memory)], 4, 1)
    return rtl_files(array, DspType.DSP48E2, run.images, "a design")[TOP].decode()


@pytest.mark.parametrize("ports", [0, 1, 4])
def test_every_port_is_of_an_interface(ports: int) -> None:
    lines = [line.strip() for line in text(ports).split(");")[0].splitlines()]
    found: dict[str, dict[str, tuple[str, int]]] = {}
    for before, line in itertools.pairwise(lines):
        if match := PORT.fullmatch(line):
            direction, width, name = match[1], int(match[2] or 0) + 1, match[3]
            # The attribute is the port's last, or the one before a clock's, reset's or interrupt's parameters.
            attribute = ATTRIBUTE.fullmatch(before)
            if attribute is None:
                assert "X_INTERFACE_PARAMETER" in before
                attribute = ATTRIBUTE.fullmatch(lines[lines.index(before) - 1])
            assert attribute is not None, line
            bus, interface, signal = attribute.groups()
            if bus.startswith("interface:"):
                assert name == f"{interface}_{signal.lower()}"
                assert bus == ("interface:axis" if interface.endswith("axis") else "interface:aximm")
            else:
                assert name == interface
            found.setdefault(interface, {})[signal.lower()] = (direction, width)
    masters = {f"m_axi_{number}" for number in range(ports)}
    assert set(found) == {"clk", "reset_n", "irq", "s_axil", "s_axis", "m_axis"} | masters
    for name in masters:
        for direction, signals in READ_MASTER.items():
            assert {signal for signal, (way, _) in found[name].items() if way == direction} == signals
        assert found[name]["araddr"] == ("output", 64)
        assert found[name]["rdata"] == ("input", SMALL_ARRAY.axi_port_bits)
    assert found["s_axis"]["tdata"] == ("input", 64)
    assert found["m_axis"]["tdata"] == ("output", 64)
    clock = next(line for line in lines if "ASSOCIATED_BUSIF" in line)
    assert re.findall(r"ASSOCIATED_BUSIF ([\w:]+),", clock) == [
        ":".join(["s_axil", "s_axis", "m_axis", *sorted(masters)])
    ]
