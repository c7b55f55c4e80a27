"""``codesign report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.options import DesignBoard, Overwrite, given_paths


def report(
    design: Annotated[Path, typer.Argument(help="Design folder.", show_default=False)],
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", "-o", help="Folder for the page.", show_default="report, in the design folder"),
    ] = None,
    vitis: Annotated[
        Path | None,
        typer.Option("--vitis", help="Folder of Vitis: its figures beside the model's.", show_default=False),
    ] = None,
    compare: Annotated[
        list[Path] | None,
        typer.Option(
            "--compare", help="Another run or design, for the figure of accuracy; again for more.", show_default=False
        ),
    ] = None,
    board: DesignBoard = None,
    overwrite: Overwrite = False,
) -> None:
    """Show everything known of a design on one page, every number with where it is from.

    Scores, cycles predicted and (after `make -C sim DESIGN=…`) counted, roofline, resources against the board, block
    maps, what the weights take. The page is one HTML file that needs no network; the figures lie beside it as PNG.
    With `--vitis`, Vitis's own figures too, which are also printed.

    Example:

        codesign report build/prune/design

        codesign report build/prune/design --vitis build/hls/work
    """
    from codesign.codegen.hls import TOP
    from codesign.design.folder import read_design
    from codesign.design.hardware import board_of_design, matrix_kernel
    from codesign.outputs import REPORT, check_output, claim
    from codesign.report.console import console, working
    from codesign.report.facts import read_facts
    from codesign.report.page import write_page
    from codesign.report.report_text import report_text
    from codesign.report.vitis import read_vitis
    from codesign.report.vitis_text import vitis_text

    output_folder, inputs = output_dir or design / "report", given_paths(design, vitis, board, *(compare or ()))
    check_output(output_folder, REPORT, inputs=inputs, overwrite=overwrite)
    with working(f"reading and checking {design}"):
        found = read_design(design)
        loaded = board_of_design(found, board)
    with claim(output_folder, REPORT, inputs=inputs, overwrite=overwrite) as output:
        with working("reading what is known of it"):
            reported = read_vitis(vitis, TOP) if vitis else None
            facts = read_facts(found, loaded, vitis=reported, others=compare or ())
        with working("drawing the page"):
            path = write_page(facts, output)
    if reported:
        for part in vitis_text(found.document, *matrix_kernel(found, loaded), reported):
            console().print(part, highlight=False, soft_wrap=True)
        console().print()
    for part in report_text(facts, path):
        console().print(part, highlight=False, soft_wrap=True)
