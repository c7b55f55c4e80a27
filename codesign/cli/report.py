"""``codesign report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codesign.errors import InputError


def report(
    design: Annotated[Path, typer.Argument(help="Design folder.", show_default=False)],
    vitis: Annotated[
        Path | None,
        typer.Option("--vitis", help="Folder of Vitis, for its figures.", show_default=False),
    ] = None,
) -> None:
    """Put what Vitis reported of a design's HLS kernel beside the hardware model's figures.

    Reads the reports of synthesis and, where there are any, of co-simulation. The page of everything known of a
    design is *not in this version yet*.

    Example:

        codesign report build/design --vitis build/hls/work
    """
    if vitis is None:
        raise InputError(
            "a design's page is not in this version yet",
            field="--vitis",
            accepted="the folder of Vitis",
        )
    from codesign.codegen.hls import TOP
    from codesign.design.folder import read_design
    from codesign.report.console import console
    from codesign.report.vitis import read_vitis
    from codesign.report.vitis_text import vitis_text

    found = read_design(design)
    for part in vitis_text(found.document, read_vitis(vitis, TOP)):
        console().print(part, highlight=False, soft_wrap=True)
