"""``codesign simulate``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.options import DesignBoard
from codesign.cli.stopping import stoppable


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
    waves: Annotated[bool, typer.Option("--waves", help="Write a waveform.")] = False,
    sentences: Annotated[
        bool,
        typer.Option(
            "--sentences",
            help="Run the design's sentences whole, too: attention, softmax and LayerNorm in hardware, on an engine"
            " of the same array with a vector unit beside it, which the plan does not count yet.",
        ),
    ] = False,
) -> None:
    """Run a design's generated hardware and HLS code in simulation, and compare every bit and every cycle.

    All weight matrices run one after another on the activations that the design's own sentences have in the integer
    model: in the engine under Verilator, and in the HLS kernel compiled as C++. What lies between them (QKᵀ, PV,
    softmax, LayerNorm) comes from the integer model; with --sentences it is in hardware too, and every step of every
    sentence is compared. The exit code is 1 where an output differs from the integer model's, or a cycle or a loop
    trip from the hardware model's. Results go to sim.json in the design folder, in the place of those of an earlier
    simulation.

    Example:

        codesign simulate build/prune/design --sentences
    """
    from codesign.design.folder import read_design
    from codesign.design.hardware import board_of_design
    from codesign.outputs import check_folder, check_guest
    from codesign.report.console import console, working

    with working(f"reading and checking {design}"):
        found = read_design(design)
        loaded = board_of_design(found, board)

        from codesign.simulation.outcome import RESULT, write_outcome

    check_guest(output_dir or design, RESULT)
    check_folder(work_dir, [design])
    with working(f"{found.document.model} on {found.document.board}: what its sentences give in the integer model"):
        from codesign.report.simulate_text import simulate_text
        from codesign.simulation.design import simulate_design
        from codesign.simulation.trace import trace

        traced = trace(found)
    stopped = f"while simulating; no results were written, the same command begins anew (built so far: {work_dir})"
    with stoppable(lambda: stopped):
        outcome = simulate_design(found, loaded, traced, work_dir, latency=memory_latency, waves=waves, stage=working)
        if sentences:
            from codesign.simulation.whole import simulate_whole

            whole = simulate_whole(found, loaded, work_dir, latency=memory_latency, waves=waves, stage=working)
            outcome = dataclasses.replace(outcome, encoder=whole)
    path = write_outcome(outcome, found, output_dir)
    for part in simulate_text(outcome, path):
        console().print(part, highlight=False, soft_wrap=True)
    if not outcome.right:
        raise typer.Exit(1)
