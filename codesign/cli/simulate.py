"""``codesign simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.options import DesignBoard


def simulate(
    design: Annotated[Path, typer.Argument(help="Design folder.", show_default=False)],
    board: DesignBoard = None,
    work_dir: Annotated[Path, typer.Option(help="Folder for simulators, which are built once.")] = Path("build/sim"),
    memory_latency: Annotated[
        int,
        typer.Option(min=1, help="Cycles from a read of external memory to its first beat; the rate is the board's."),
    ] = 60,
    waves: Annotated[bool, typer.Option("--waves", help="Write a waveform.")] = False,
) -> None:
    """Run a design's generated hardware and HLS code in simulation, and compare every bit and every cycle.

    All weight matrices run one after another on the activations that the design's own sentences have in the integer
    model: in the engine under Verilator, and in the HLS kernel compiled as C++. What lies between them (QKᵀ, PV,
    softmax, LayerNorm) has no hardware yet and comes from the integer model. The exit code is 1 where an output
    differs from the integer model's, or a cycle or a loop trip from the hardware model's. Results go to sim.json
    in the design folder.

    Example:

        codesign simulate build/prune/design
    """
    from codesign.boards import load_board
    from codesign.codegen.hls import check_board
    from codesign.design.folder import read_design
    from codesign.report.console import console

    found = read_design(design)
    loaded = load_board(board or found.document.board)
    check_board(found.document.board, found.document.part, loaded)

    from codesign.report.simulate_text import simulate_text
    from codesign.simulation.design import simulate_design
    from codesign.simulation.outcome import write_outcome
    from codesign.simulation.trace import trace

    def say(text: str) -> None:
        console().print(text, highlight=False, soft_wrap=True)

    say(f"{found.document.model} on {found.document.board}: what its sentences give in the integer model")
    outcome = simulate_design(found, loaded, trace(found), work_dir, latency=memory_latency, waves=waves, say=say)
    path = write_outcome(outcome, found)
    for part in simulate_text(outcome, path):
        console().print(part, highlight=False, soft_wrap=True)
    if not outcome.right:
        raise typer.Exit(1)
