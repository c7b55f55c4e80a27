"""The engine's register map: the one definition for hardware, drivers, simulation and documentation."""

from __future__ import annotations

from dataclasses import dataclass

IDENTITY = 0x43445347
"""What the first register reads as: "CDSG"."""
VERSION = 1
"""Of the register map."""


@dataclass(frozen=True)
class Bit:
    """One bit of a register."""

    name: str
    number: int
    meaning: str


@dataclass(frozen=True)
class Register:
    """One register of 32 bits.

    Attributes:
        name: In capitals.
        offset: Bytes from the base.
        access: ``r``, ``w`` or ``rw``; ``rw1c``: read, and cleared where a 1 is written.
        meaning: What it holds.
        bits: Its single bits, if it has any.
    """

    name: str
    offset: int
    access: str
    meaning: str
    bits: tuple[Bit, ...] = ()


REGISTERS = (
    Register("IDENTITY", 0x00, "r", f"0x{IDENTITY:08x}"),
    Register("VERSION", 0x04, "r", "of this map"),
    Register(
        "CONTROL",
        0x08,
        "w",
        "begins a run; refused while one is under way",
        (
            Bit("START", 0, "run the matrices asked for"),
            Bit("LOAD", 1, "fill URAM with weights from the stream"),
        ),
    ),
    Register(
        "STATUS",
        0x0C,
        "rw1c",
        "how things stand; errors and DONE stay until they are cleared",
        (
            Bit("BUSY", 0, "a run is under way"),
            Bit("DONE", 1, "the last run is over"),
            Bit("ERROR_BUSY", 2, "a run was asked for while one was under way"),
            Bit("ERROR_REQUEST", 3, "a run was asked for with numbers out of range"),
            Bit("ERROR_FRAMING", 4, "the stream's last beat of a matrix came early or late"),
            Bit("ERROR_MEMORY", 5, "external memory answered a read with an error"),
        ),
    ),
    Register("INTERRUPT_ENABLE", 0x10, "rw", "bit 0: the interrupt follows DONE"),
    Register("FIRST_LAYER", 0x14, "rw", "number of the first matrix"),
    Register("LAYERS", 0x18, "rw", "how many matrices, one after another"),
    Register("REPEATS", 0x1C, "rw", "how often the sequence is run"),
    Register("TOKENS", 0x20, "rw", "tokens of every matrix"),
    Register("MEMORY_BASE_LOW", 0x34, "rw", "external memory: address of the first port's part, a multiple of 4 KiB"),
    Register("MEMORY_BASE_HIGH", 0x38, "rw", "its upper half"),
    Register("MEMORY_STRIDE", 0x3C, "rw", "bytes from one port's part to the next's, a multiple of 4 KiB"),
    Register("CYCLES", 0x24, "r", "of the last run, from start to its last output"),
    Register("STALLS_WEIGHTS", 0x28, "r", "cycles in which the array waited for weights"),
    Register("STALLS_ACTIVATIONS", 0x2C, "r", "cycles in which it waited for activations"),
    Register("STALLS_RESULTS", 0x30, "r", "cycles in which it waited for room for results"),
)


def offset(name: str) -> int:
    """Of the register of this name."""
    return next(register.offset for register in REGISTERS if register.name == name)


def bit(register: str, name: str) -> int:
    """The mask of a register's bit."""
    found = next(r for r in REGISTERS if r.name == register)
    return int(1 << next(b.number for b in found.bits if b.name == name))
