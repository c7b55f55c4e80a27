"""program.json: a program as a file, a step to a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic

from codesign.files import check, read_json
from codesign.program.steps import Program

PROGRAM = "program.json"
FORMAT = "codesign-program-1"


@dataclass(frozen=True)
class _Document:
    format: Literal["codesign-program-1"]
    program: Program


def program_text(program: Program) -> str:
    """The content of the file."""
    plain: dict[str, Any] = pydantic.TypeAdapter(Program).dump_python(program, mode="json")
    return "\n".join(_lines(plain)) + "\n"


def _lines(plain: dict[str, Any]) -> Iterator[str]:
    yield f'{{"format": "{FORMAT}", "program": {{'
    for name, part in plain.items():
        comma = "" if name == list(plain)[-1] else ","
        if isinstance(part, list):
            yield f' "{name}": ['
            yield ",\n".join(f"  {json.dumps(step)}" for step in part)
            yield f" ]{comma}"
        else:
            yield f' "{name}": {json.dumps(part)}{comma}'
    yield "}}"


def read_program(path: Path) -> Program:
    """A program as it was written.

    Raises:
        InputError: The file is missing, no JSON, or no program; the message says where.
    """
    return check(read_json(path), _Document, path).program
