"""``codesign gen-hls``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from codesign.cli.options import DesignBoard, given_paths
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
    from codesign.outputs import PROJECT, check_output, claim

    folder = design or newest_design(Path("build"))
    inputs = given_paths(folder, board)
    check_output(output_dir, PROJECT, inputs=inputs, overwrite=force)

    from codesign.codegen.hls import Interface, hls_files
    from codesign.design.folder import read_design
    from codesign.design.hardware import board_of_design
    from codesign.report.console import say, working

    if interface not in list(Interface):
        raise InputError("not accepted", field="--interface", value=interface, accepted=", ".join(Interface))
    if design is None:
        say(f"No design given: {folder} is the newest.")
    with working(f"reading and checking {folder}"):
        found = read_design(folder)
        loaded = board_of_design(found, board)

        from codesign.simulation.hls import design_of
        from codesign.simulation.trace import trace

    stopped = f"before {output_dir} was whole; the same command writes it"
    with stoppable(lambda: stopped), claim(output_dir, PROJECT, inputs=inputs, overwrite=force) as output:
        with working(f"{found.document.model} on {loaded.name}: what its sentences give in the integer model"):
            given = design_of(found, loaded, trace(found))
        with working("generating the project"):
            command = ["codesign", "gen-hls", str(folder), "--interface", interface]
            files = hls_files(given, Interface(interface), command, seed)
            output.write_files(files)
    size = sum(map(len, files.values())) / 2**20
    next_step = f"make -C {shlex.quote(str(output_dir))} csim"
    say(f"wrote {output_dir}: {len(files)} files, {size:.1f} MiB. Next: {next_step}")


def newest_design(root: Path) -> Path:
    """The design folder below ``root`` whose design.yaml was written last.

    Raises:
        InputError: There is none.
    """
    # Not one that is being written, or was left so by a kill, in a hidden folder.
    found = [
        path
        for path in root.rglob("design.yaml")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    ]
    if not found:
        raise InputError(
            "no design folder here",
            file=root,
            accepted="a design folder, as codesign quantize writes it, as argument",
        )
    return max(found, key=lambda path: (path.stat().st_mtime_ns, str(path))).parent
