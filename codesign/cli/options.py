"""Options that several commands share: what is planned, under which budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codesign.errors import InputError

if TYPE_CHECKING:
    from codesign.planning.work import Budget, Granularity

_PLAN = "Plan"

Board = Annotated[str, typer.Option("--board", "-b", help="Board name or YAML file.", show_default=False)]
DesignBoard = Annotated[
    str | None,
    typer.Option(
        "--board", "-b", help="Board name or YAML file, the design's.", show_default="the design's, by name"
    ),
]
Tokens = Annotated[int, typer.Option(help="Tokens of a sentence.", rich_help_panel=_PLAN)]
Batch = Annotated[int, typer.Option(help="Sentences worked on together.", rich_help_panel=_PLAN)]
LatencyMs = Annotated[
    float | None, typer.Option(help="Budget: prune until a batch takes at most this long.", rich_help_panel=_PLAN)
]
Compression = Annotated[
    float | None,
    typer.Option(help="Budget: all over remaining weights of the encoder's matrices.", rich_help_panel=_PLAN),
]
Fit = Annotated[
    str | None,
    typer.Option(help="Budget: 'on-chip', prune until no weight needs external memory.", rich_help_panel=_PLAN),
]
WeightBits = Annotated[int, typer.Option(help="8 or 4.", rich_help_panel=_PLAN)]
GranularityName = Annotated[
    str,
    typer.Option(
        "--granularity", help="Groups of the pruner: block (R×C), column (R×1) or row (1×C).", rich_help_panel=_PLAN
    ),
]
BlockShape = Annotated[
    str | None,
    typer.Option(
        "--block", help="Block shape RxC, such as 16x16; default: the planner's choice.", rich_help_panel=_PLAN
    ),
]
ClockMhz = Annotated[
    float | None, typer.Option(help="Clock of the array; default: the board's.", rich_help_panel=_PLAN)
]
Columns = Annotated[
    str | None,
    typer.Option(
        help="What the files call these columns: sentence=text,label=gold or"
        " sentence1=premise,sentence2=hypothesis,label=gold.",
        rich_help_panel="Model and data",
        show_default=False,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what the same command wrote there.")]
OutputDir = Annotated[Path, typer.Option("--output-dir", "-o", help="Folder to write to.")]


def given_paths(*given: str | Path | None) -> list[Path]:
    """What a command reads, for the rule that no input is an output; names that are no paths do no harm."""
    return [Path(path) for path in given if path is not None]


def given_in(context: typer.Context, name: str) -> bool:
    """Whether an option was given, rather than left at its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def budget_of(latency_ms: float | None, compression: float | None, fit: str | None) -> Budget:
    """The one budget that was given, or none.

    Raises:
        InputError: More than one, or an unknown ``--fit``.
    """
    from codesign.planning.work import Budget, BudgetKind

    given = [
        name
        for name, value in (("--latency-ms", latency_ms), ("--compression", compression), ("--fit", fit))
        if value is not None
    ]
    if len(given) > 1:
        raise InputError(f"give one budget, not {len(given)}", value=" ".join(given))
    if latency_ms is not None:
        return Budget(BudgetKind.LATENCY, latency_ms)
    if compression is not None:
        return Budget(BudgetKind.COMPRESSION, compression)
    if fit is not None:
        if fit != "on-chip":
            raise InputError("not accepted", field="--fit", value=fit, accepted="on-chip")
        return Budget(BudgetKind.ON_CHIP)
    return Budget()


def columns_of(text: str | None) -> dict[str, str] | None:
    """Columns by our names, where others were given.

    Raises:
        InputError: They are not of the form that ``--columns`` takes.
    """
    from codesign.tasks.files import parse_columns

    return None if text is None else parse_columns(text)


def granularity_of(name: str) -> Granularity:
    """A granularity by name.

    Raises:
        InputError: There is none of that name.
    """
    from codesign.planning.work import Granularity

    if name not in list(Granularity):
        raise InputError("not accepted", field="--granularity", value=name, accepted=", ".join(Granularity))
    return Granularity(name)


def block_of(text: str | None) -> tuple[int, int] | None:
    """A block shape from ``16x16``.

    Raises:
        InputError: It is not of that form.
    """
    if text is None:
        return None
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) != 2 or not all(side.strip().isdecimal() and len(side) < 10 for side in sides):
        raise InputError("not a block shape", field="--block", value=text, accepted="RxC, such as 16x16")
    return int(sides[0]), int(sides[1])
