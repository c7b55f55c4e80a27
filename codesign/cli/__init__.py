"""The command line: one module per command, nothing heavy imported before it is needed."""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer
from typer.exceptions import TyperException

from codesign import __version__
from codesign.cli import boards, gen_hls, plan, prune, quantize, report, simulate
from codesign.cli.stopping import StoppedError
from codesign.errors import InputError

app = typer.Typer(
    name="codesign",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="From a BERT-family model in PyTorch to an FPGA accelerator: plan the array for a board, prune the model"
    " in blocks of its shape, generate its hardware and prove it.",
)
app.command("boards")(boards.boards)
app.command("plan")(plan.plan)
app.command("prune")(prune.prune)
app.command("quantize")(quantize.quantize)
app.command("simulate")(simulate.simulate)
app.command("gen-hls")(gen_hls.gen_hls)
app.command("report")(report.report)


_STOPPED = 130
"""Exit code after Ctrl-C, as shells have it: 128 + SIGINT."""


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"codesign {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    # main() reads --debug itself: it must know it also where parsing fails.
    context.obj = {"debug": debug, "version": version}


def main() -> NoReturn:
    """Run the command line; exit code 0, 2 for wrong input, 1 for a fault of the program, 130 for Ctrl-C."""
    # Threads that wait for each other by spinning keep each other from working where the cores have other work too: a
    # training step then takes ten times as long and more. Read when torch is loaded, which is later.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    debug = "--debug" in sys.argv[1:2]
    try:
        code = app(standalone_mode=False)
    except (InputError, TyperException) as error:
        if debug:
            raise
        # One line, whatever the message was made of; none where help was shown instead.
        message = str(error) if isinstance(error, InputError) else error.format_message()
        if message:
            print(f"codesign: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)
    except StoppedError as error:
        if str(error):
            print(f"codesign: stopped {error}", file=sys.stderr)
        sys.exit(_STOPPED)
    except (typer.Abort, KeyboardInterrupt):
        code = _STOPPED
    except BrokenPipeError:
        # The reader of our output went away (codesign boards | head): nothing to tell.
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        print(
            f"codesign: internal error: {type(error).__name__}: {error} (codesign --debug … shows where)",
            file=sys.stderr,
        )
        sys.exit(1)
    if code == _STOPPED:  # which typer makes of Ctrl-C, without a word
        print("codesign: stopped; the same command begins again", file=sys.stderr)
    sys.exit(code if isinstance(code, int) else 0)
