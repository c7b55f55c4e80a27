"""``codesign boards``."""

from __future__ import annotations

from typing import Annotated

import typer


def boards(
    board: Annotated[
        str | None, typer.Argument(help="A board's name or YAML file; without it, the table of all boards.")
    ] = None,
) -> None:
    """List the boards, or show all that is known of one, with where each figure came from.

    A board is a YAML file: to add one, copy a file of the boards folder and edit it.

    Example:

        codesign boards zcu104
    """
    from codesign.boards import board_names, load_board
    from codesign.report.board_text import board_details, board_table
    from codesign.report.console import console

    if board is None:
        console().print(board_table([load_board(name) for name in board_names()]))
    else:
        for part in board_details(load_board(board)):
            console().print(part)
