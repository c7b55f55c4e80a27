"""Boards: what an FPGA offers, read from one validated YAML file each.

A board is added by writing ``boards/<name>.yaml``; nothing else needs to know of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from codesign.errors import InputError
from codesign.files import read_yaml
from codesign.names import BoardName, Identifier, Part, Platform, Title
from codesign.shipped import data_folder

MOST_PORTS_OF_A_BANK = 15
"""Kernel ports that v++ connects to one bank of memory (AMD UG1393, Mapping Kernel Ports to Memory)."""
KERNEL_PORTS = 3
"""Of a kernel, besides those to external weights: activations, results, weights for URAM."""


class DspType(StrEnum):
    """The multiplier primitive of the device; its port widths decide what can be packed into it."""

    DSP48E1 = "DSP48E1"  # 7 series: 25 × 18 bit
    DSP48E2 = "DSP48E2"  # UltraScale, UltraScale+: 27 × 18 bit


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Count = Annotated[int, Field(gt=0)]
CountOrNone = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(gt=0, le=1)]


class Device(_Strict):
    """Totals of the whole device, in the vendor's "available" units (BRAM18 = half a BRAM36)."""

    lut: Count
    ff: Count
    bram18: Count
    uram: CountOrNone
    dsp: Count
    dsp_type: Annotated[DspType, Field(strict=False)]
    super_logic_regions: Count
    uram_initialisable: bool = Field(description="can the bitstream give URAM its first contents")


class Usable(_Strict):
    """Fractions of the device totals that a design may use: the rest is for shell and routing.

    ``bandwidth`` is the part of a memory's theoretical rate that long reads can count on.
    """

    lut: Fraction
    ff: Fraction
    bram18: Fraction
    uram: Fraction
    dsp: Fraction
    bandwidth: Fraction


class Banks(_Strict):
    """The parts of a memory that v++ connects a kernel's ports to: ``sp=…:TAG[0]`` to ``TAG[count − 1]``."""

    tag: Identifier
    count: Count


class Memory(_Strict):
    """One external memory that the programmable logic can read; ``banks``: null where v++ links nothing to it."""

    kind: Literal["DDR3", "DDR3L", "DDR4", "LPDDR4", "HBM2"]
    bytes: Count
    bus_bits: Count
    transfer_mts: Annotated[float, Field(gt=0, description="million transfers per second per pin")]
    gb_per_s: Annotated[float, Field(gt=0, description="theoretical rate, 1e9 bytes per second")]
    banks: Banks | None = None

    @field_validator("bus_bits")
    @classmethod
    def _power_of_two(cls, bits: int) -> int:
        return _check_power_of_two(bits)

    @model_validator(mode="after")
    def _rates_agree(self) -> Memory:
        product = self.bus_bits / 8 * self.transfer_mts / 1000
        # Vendors round the rate to two or three digits.
        if abs(product - self.gb_per_s) > 0.02 * product:
            raise ValueError(
                f"gb_per_s {self.gb_per_s:g} does not follow from {self.bus_bits} bits"
                f" × {self.transfer_mts:g} MT/s; accepted: {product:.4g} within 2 %"
            )
        return self


class Axi(_Strict):
    """The memory-mapped ports between the programmable logic and that memory."""

    port_bits: Count
    ports: Count

    @field_validator("port_bits")
    @classmethod
    def _power_of_two(cls, bits: int) -> int:
        return _check_power_of_two(bits)


class Clock(_Strict):
    """Clock of the programmable logic, in MHz."""

    default_mhz: Annotated[float, Field(gt=0)]
    highest_mhz: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _ordered(self) -> Clock:
        if self.default_mhz > self.highest_mhz:
            raise ValueError(
                f"default_mhz {self.default_mhz:g} is above highest_mhz; accepted: at most {self.highest_mhz:g}"
            )
        return self


class Vitis(_Strict):
    """What the Vitis tools need to know of the board."""

    platform: Platform | None = Field(description="base platform name, or null where the vendor ships none")
    flow_target: Literal["vitis", "vivado"]


class Source(_Strict):
    """Where a figure came from. ``confirmed`` is false for assumptions and single unverified mentions."""

    text: Annotated[str, Field(min_length=1)]
    confirmed: bool


class Board(_Strict):
    """A board: the target of a plan.

    ``sources`` maps a dotted path (``device``, ``device.uram``, ``memories.0``) to where the numbers below
    it came from; the longest matching path speaks for a number, and every number must have one.
    """

    name: BoardName
    title: Title
    part: Part
    device: Device
    usable: Usable
    memories: Annotated[list[Memory], Field(min_length=1)]
    axi: Axi
    clock: Clock
    vitis: Vitis
    sources: dict[str, Source]

    @model_validator(mode="after")
    def _every_number_has_a_source(self) -> Board:
        facts = self.facts()
        for path, value in facts.items():
            if isinstance(value, int | float) and self.source_path(path) is None:
                raise ValueError(f"sources: no source for {path}; accepted: an entry {path!r} or one above it")
        known = {prefix for path in facts for prefix in _prefixes(path)}
        for path in self.sources:
            if path not in known:
                raise ValueError(f"sources: {path!r} is no field of this file; accepted: a dotted path of one")
        return self

    @model_validator(mode="after")
    def _kernels_reach_memory(self) -> Board:
        if self.vitis.flow_target != "vitis":
            return self
        where = f"memories.{self.memories.index(self.fastest_memory)}.banks"
        banks = self.fastest_memory.banks
        if banks is None:
            raise ValueError(
                f"{where}: v++ must be told which bank each port reaches; accepted: a tag and a count, such as"
                " {tag: DDR, count: 4}"
            )
        if self.axi.ports + KERNEL_PORTS > MOST_PORTS_OF_A_BANK * banks.count:
            raise ValueError(
                f"axi.ports: {self.axi.ports} ports and {KERNEL_PORTS} of the kernel's own are too many for"
                f" {banks.count} banks; accepted: {MOST_PORTS_OF_A_BANK * banks.count - KERNEL_PORTS} or fewer"
            )
        return self

    def facts(self) -> dict[str, object]:
        """Every figure and name of the description by its dotted path, in the order of the file."""
        return dict(_leaves(self.model_dump(exclude={"name", "title", "sources"}, mode="json")))

    def source_path(self, path: str) -> str | None:
        """The key of ``sources`` that speaks for the fact at a dotted path; None where none does."""
        return next((p for p in reversed(list(_prefixes(path))) if p in self.sources), None)

    @property
    def fastest_memory(self) -> Memory:
        """The external memory that the ports of ``axi`` lead to."""
        return max(self.memories, key=lambda memory: memory.gb_per_s)

    @property
    def read_bytes_per_second(self) -> float:
        """What long reads from the fastest external memory can count on, in bytes per second."""
        return self.fastest_memory.gb_per_s * 1e9 * self.usable.bandwidth

    @property
    def external_bytes(self) -> int:
        """Capacity of the fastest external memory, in bytes."""
        return self.fastest_memory.bytes


def _check_power_of_two(bits: int) -> int:
    if bits & (bits - 1):
        raise ValueError("not a power of two; accepted: a power of two, such as 64, 128 or 512")
    return bits


def _prefixes(path: str) -> Iterator[str]:
    parts = path.split(".")
    return (".".join(parts[:n]) for n in range(1, len(parts) + 1))


def _leaves(content: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every single value in nested data with its dotted path."""
    if isinstance(content, dict):
        children: list[tuple[str, object]] = [(str(key), value) for key, value in content.items()]
    elif isinstance(content, list):
        children = [(str(index), value) for index, value in enumerate(content)]
    else:
        yield path, content
        return
    for key, value in children:
        yield from _leaves(value, f"{path}.{key}" if path else key)


def board_names() -> list[str]:
    """Names of the boards that come with the package, sorted."""
    return sorted(path.stem for path in data_folder("boards").glob("*.yaml"))


def load_board(board: str | Path) -> Board:
    """Load a board from a YAML file's path, or by the bare name of one that comes with the package.

    Raises:
        InputError: There is no such board or file, or the file is not a valid board description.
    """
    text = str(board)
    path = Path(board)
    if path.suffix not in (".yaml", ".yml") and "/" not in text and not path.is_file():
        path = data_folder("boards") / f"{text}.yaml"
        if not path.is_file():
            raise InputError(
                "unknown board", value=text, accepted=f"a YAML file's path, or one of {', '.join(board_names())}"
            )
    return read_yaml(path, Board)


def board_of(name: str, given: str | None, whose: object) -> Board:
    """The board that something was made for: as given, or by its name where it is one of the package's.

    Args:
        name: Of the board that it was made for.
        given: A board's name or YAML file; None for the former.
        whose: What was made for it, for the error.

    Raises:
        InputError: Neither is to be had, or the file is not valid.
    """
    if given is None and name not in board_names():
        raise InputError(
            "made for a board of your own, which its file alone describes", file=whose, field="board", value=name,
            accepted=f"--board FILE (-b), the YAML file of {name}",
        )  # fmt: skip
    return load_board(given or name)
