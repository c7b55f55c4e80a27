"""Boards on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from codesign.boards import Board


def board_table(boards: Sequence[Board]) -> Table:
    """One line per board."""
    table = Table(title="Boards", title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in ("board", "part", "DSP type"):
        table.add_column(column, no_wrap=True)
    for column in ("LUT", "FF", "BRAM18", "URAM", "DSP", "memory", "GB/s", "AXI", "MHz"):
        table.add_column(column, justify="right", no_wrap=True)
    for board in boards:
        device, memory = board.device, max(board.memories, key=lambda m: m.gb_per_s)
        table.add_row(
            board.name,
            board.part,
            device.dsp_type.value,
            *(f"{n:,}" for n in (device.lut, device.ff, device.bram18, device.uram, device.dsp)),
            memory.kind,
            f"{memory.gb_per_s:g}",
            f"{board.axi.ports}×{board.axi.port_bits}",
            f"{board.clock.default_mhz:g}",
        )
    return table


def board_details(board: Board) -> Iterator[RenderableType]:
    """Everything in a board's file, each figure with its source."""
    yield Text(f"{board.title} ({board.name})", style="bold")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("field", no_wrap=True)
    table.add_column("value", justify="right", no_wrap=True)
    table.add_column("source", no_wrap=True)
    numbers: dict[str, int] = {}
    for path, value in board.facts().items():
        found = board.source_path(path)
        mark = ""
        if found is not None:
            number = numbers.setdefault(found, len(numbers) + 1)
            mark = f"[{number}]" + ("" if board.sources[found].confirmed else " unconfirmed")
        shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
        table.add_row(path, shown, Text(mark))
    yield table
    for path, number in numbers.items():
        source = board.sources[path]
        yield Text(f"[{number}] {source.text}" + ("" if source.confirmed else " (unconfirmed)"), style="dim")
