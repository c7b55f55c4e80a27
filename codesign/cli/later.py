"""Commands of the pipeline that this version does not have yet: they say so, and how far it reaches."""

from __future__ import annotations

import typer

from codesign.errors import InputError

REACH = "codesign quantize"
"""The last step of the pipeline that this version has."""

_COMMANDS = {
    "gen-hls": ("Write a Vitis HLS project from a design folder.", "codesign gen-hls build/design -o build/hls"),
    "report": ("Make one HTML page of everything known of a design.", "codesign report build/design"),
}


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for name, (summary, example) in _COMMANDS.items():
        app.command(
            name,
            help=f"{summary} *Not in this version yet.*\n\nExample:\n\n    {example}",
            short_help=f"{summary} (not in this version yet)",
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(_refuse)


def _refuse(context: typer.Context) -> None:
    raise InputError(f"'codesign {context.info_name}' is not in this version yet: the pipeline reaches '{REACH}'")
