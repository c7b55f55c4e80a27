"""``codesign simulate``."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Annotated

import typer

from codesign.cli import options
from codesign.cli.options import DesignBoard
from codesign.cli.stopping import stoppable
from codesign.seeds import check_seed

_SPLIT = "A development set"


def simulate(
    design: Annotated[Path, typer.Argument(help="Design folder.", show_default=False)],
    output_dir: Annotated[
        Path | None,
        typer.Option("--output-dir", "-o", help="Folder for sim.json.", show_default="the design folder"),
    ] = None,
    board: DesignBoard = None,
    work_dir: Annotated[Path, typer.Option(help="Folder for simulators, which are built once.")] = Path("build/sim"),
    memory_latency: Annotated[
        int,
        typer.Option(
            min=1,
            max=1_000_000,
            help="Cycles from a read of external memory to its first beat; the rate is the board's.",
        ),
    ] = 60,
    waves: Annotated[bool, typer.Option("--waves", help="Write a waveform, of the last sentence.")] = False,
    split: Annotated[
        str | None,
        typer.Option(
            help="Run this split of the design's task, too, and score what the hardware gives: dev, or a name.",
            rich_help_panel=_SPLIT,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Of it so many sentences, drawn by the seed.", rich_help_panel=_SPLIT)
    ] = None,
    seed: Annotated[int, typer.Option(help="Draws them.", callback=check_seed, rich_help_panel=_SPLIT)] = 0,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=1, help="Simulators at a time.", show_default="one per core", rich_help_panel=_SPLIT
        ),
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Where the task's files are now.", show_default="where they were", rich_help_panel=_SPLIT),
    ] = None,
    columns: options.Columns = None,
) -> None:
    """Run a design's generated hardware and HLS code in simulation, and compare every bit and every cycle.

    The design's own sentences run whole in the engine under Verilator, each at its own length: embeddings in, the
    last layer out, with every step's results and cycles compared; the label at the end is held against the integer
    model's. The weight matrices alone run in the HLS kernel, compiled as C++, on the activations that they have in
    the integer model. With --split a whole development set runs in the engine, several simulators at a time, and its
    score is the hardware's; the same command goes on where it was interrupted. The exit code is 1 where an output
    differs from the integer model's, or a cycle or a loop trip from the hardware model's. Results go to sim.json in
    the design folder, in the place of those of an earlier simulation.

    Examples:

        codesign simulate build/prune/design

        codesign simulate build/prune/design --split dev --limit 100
    """
    from codesign.design.folder import read_design
    from codesign.design.hardware import board_of_design
    from codesign.outputs import check_folder, check_guest
    from codesign.report.console import console, tracked, working

    with working(f"reading and checking {design}"):
        found = read_design(design)
        loaded = board_of_design(found, board)

        from codesign.simulation.outcome import RESULT, write_outcome

    if split is None:
        given = {"--limit": limit, "--jobs": jobs, "--data-dir": data_dir, "--columns": columns}
        idle = [name for name, value in given.items() if value is not None]
        if idle:
            console().print(f"no effect: {', '.join(idle)} (no split is run: --split)", highlight=False)
    check_guest(output_dir or design, RESULT)
    check_folder(work_dir, [design])
    with working(f"{found.document.model} on {found.document.board}: what its sentences give in the integer model"):
        from codesign.report.simulate_text import simulate_text
        from codesign.simulation.design import simulate_design
        from codesign.simulation.trace import trace
        from codesign.simulation.whole import WholeDesign

        traced = trace(found)
        whole = WholeDesign(found, loaded, memory_latency)
    rows = None
    if split is not None:
        from codesign.simulation.split import read_rows

        rows = read_rows(found, split, data_dir, options.columns_of(columns), limit, seed)
    stopped = f"while simulating; no results were written, the same command goes on ({work_dir} has what there is)"
    with stoppable(lambda: stopped):
        outcome = simulate_design(whole, traced, work_dir, waves=waves, stage=working)
        if rows is not None:
            from codesign.simulation.split import simulate_split

            at_once = jobs or len(os.sched_getaffinity(0))
            shown = tracked(f"{rows.split} in hardware")
            score = simulate_split(whole, rows, work_dir, jobs=at_once, shown=shown, stage=working)
            outcome = dataclasses.replace(outcome, score=score)
    path = write_outcome(outcome, found, output_dir)
    for part in simulate_text(outcome, path):
        console().print(part, highlight=False, soft_wrap=True)
    if not outcome.right:
        raise typer.Exit(1)
