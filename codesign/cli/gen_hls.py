"""``codesign gen-hls``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.options import DesignBoard
from codesign.cli.stopping import stoppable
from codesign.errors import InputError
from codesign.seeds import check_seed


def gen_hls(
    design: Annotated[
        Path | None,
        typer.Argument(help="Design folder.", show_default="the newest below build/"),
    ] = None,
    output_dir: Annotated[Path, typer.Option("--output-dir", "-o", help="Folder to write to.")] = Path("build/hls"),
    interface: Annotated[str, typer.Option(help="Of activations and results: m_axi or axis.")] = "m_axi",
    board: DesignBoard = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a project that gen-hls wrote there.")] = False,
    seed: Annotated[
        int, typer.Option(help="Noted in the manifest; generating draws no random numbers.", callback=check_seed)
    ] = 0,
) -> None:
    """Write a Vitis HLS project of a design: kernel, weights, testbench with real sentences, drivers.

    The folder is whole by itself: 'make csim' in it compares every output of the kernel with the integer model's,
    with g++ alone; csynth, cosim and package go on with the Vitis that is on the PATH. Generating twice gives the
    same bytes.

    Example:

        codesign gen-hls build/design -o build/hls
    """
    from codesign.codegen.project import check_place, write_project

    check_place(output_dir, force=force)
    folder = design or newest_design(Path("build"))

    from codesign.boards import load_board
    from codesign.codegen.hls import Interface, check_board, hls_files
    from codesign.design.folder import read_design
    from codesign.report.console import console

    def say(text: str) -> None:
        console().print(text, highlight=False, soft_wrap=True)

    if interface not in list(Interface):
        raise InputError("not accepted", field="--interface", value=interface, accepted=", ".join(Interface))
    if design is None:
        say(f"[dim]No design given: {folder} is the newest.[/dim]")
    found = read_design(folder)
    loaded = load_board(board or found.document.board)
    check_board(found.document.board, found.document.part, loaded)
    found.images  # noqa: B018 — every file of them is checked here

    from codesign.simulation.hls import design_of
    from codesign.simulation.trace import trace

    say(f"{found.document.model} on {loaded.name}: what its sentences give in the integer model")
    with stoppable(lambda: f"before {output_dir} was whole; the same command writes it"):
        given = design_of(found, loaded, trace(found))
        command = ["codesign", "gen-hls", str(folder), "--interface", interface]
        files = hls_files(given, Interface(interface), command, seed)
        write_project(output_dir, files, force=force)
    size = sum(map(len, files.values())) / 2**20
    say(f"wrote {output_dir}: {len(files)} files, {size:.1f} MiB. Next: make -C {output_dir} csim")


def newest_design(root: Path) -> Path:
    """The design folder below ``root`` whose design.yaml was written last.

    Raises:
        InputError: There is none.
    """
    found = [path for path in root.rglob("design.yaml") if path.is_file()]
    if not found:
        raise InputError(
            "no design folder here",
            file=root,
            accepted="a design folder, as codesign quantize writes it, as argument",
        )
    return max(found, key=lambda path: (path.stat().st_mtime_ns, str(path))).parent
