"""Rows from tsv, csv and jsonl files as they stand there: what is not settled by the file itself is refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codesign.errors import InputError
from codesign.files import read_text

SUFFIXES = (".tsv", ".csv", ".jsonl")


@dataclass(frozen=True)
class Table:
    """One file.

    Attributes:
        path: The file.
        columns: Names of its header; of the first row's fields in a jsonl file.
        rows: (line number, cells by column) of every row; cells of tsv and csv files are texts.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[int, dict[str, object]], ...]


def read_table(path: Path) -> Table:
    """A file's rows.

    Raises:
        InputError: It cannot be read, a row does not fit its header, a column is there twice, or it has no rows.
    """
    text = read_text(path).removeprefix("\ufeff")  # the byte order mark that Windows' editors put first
    rows = tuple(_json_rows(path, text) if path.suffix == ".jsonl" else _cell_rows(path, text))
    if not rows:
        raise InputError("holds no rows", file=path)
    return Table(path, tuple(rows[0][1]), rows)


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, object]]]:
    # Not splitlines(): a JSON string may hold U+2028 and other characters that it takes for the end of a line.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}:{number}"

        def fields(pairs: list[tuple[str, Any]], where: str = where) -> dict[str, object]:
            _check_once([name for name, _ in pairs], where)
            return dict(pairs)

        try:
            content = json.loads(line, object_pairs_hook=fields)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise InputError(f"not valid JSON: {reason}", file=where) from None
        if not isinstance(content, dict):
            raise InputError("not a JSON object", file=where)
        yield number, content


def _cell_rows(path: Path, text: str) -> Iterator[tuple[int, dict[str, object]]]:
    # GLUE's tsv files have no quoting: a quotation mark is a character of the sentence.
    tabs = path.suffix == ".tsv"
    csv.field_size_limit(1 << 24)
    # Strict: a quotation mark that is never closed would take the rest of the file for one sentence.
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter="\t" if tabs else ",",
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
        strict=True,
    )
    header: list[str] | None = None
    try:
        for cells in reader:
            where = f"{path}:{reader.line_num}"
            if not cells:
                continue
            if header is None:
                header = [name.strip() for name in cells]
                _check_once([name for name in header if name], where)
                continue
            if len(cells) != len(header):
                raise InputError(f"{len(cells)} cells, the header has {len(header)}", file=where)
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise InputError(f"not readable as {path.suffix[1:]}: {error}", file=f"{path}:{reader.line_num}") from None


def _check_once(names: Sequence[str], where: str) -> None:
    for name in names:
        places = [str(place) for place, other in enumerate(names, start=1) if other == name]
        if len(places) > 1:
            raise InputError(
                f"{name!r} is there {len(places)} times, in places {' and '.join(places)}",
                file=where,
                accepted="every name once",
            )
