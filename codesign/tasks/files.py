"""Sentences and labels from tsv, csv and jsonl files, each row checked, errors with the row's number."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codesign.errors import InputError
from codesign.files import read_text
from codesign.tasks.task import OWN, Task, settled, task_key

SUFFIXES = (".tsv", ".csv", ".jsonl")
_STEMS = {
    "train": ("train",),
    "validation": ("validation", "dev", "valid"),
    "validation_matched": ("validation_matched", "dev_matched"),
    "validation_mismatched": ("validation_mismatched", "dev_mismatched"),
}
LABEL = "label"


@dataclass(frozen=True)
class Split:
    """Rows of one split: as many tuples of one or two sentences as labels."""

    sentences: tuple[tuple[str, ...], ...]
    labels: tuple[float | int, ...]


def read_folder(task: Task, folder: Path) -> tuple[Task, dict[str, Split]]:
    """Every split of a task from a folder with ``train.tsv`` (or csv, jsonl) and ``dev.tsv`` (or ``validation``).

    The files may also lie in a sub-folder of the task's name. MNLI has ``dev_matched`` and ``dev_mismatched``.

    Returns:
        The task, with classes and sentence columns settled from the data where they were open; its splits.

    Raises:
        InputError: A file or column is missing, or a row is wrong.
    """
    if not folder.is_dir():
        raise InputError("no such folder", field="--data-dir", value=str(folder))
    if _find(folder, "train") is None:
        below = [p for p in sorted(folder.iterdir()) if p.is_dir() and task_key(p.name) == task.name]
        folder = below[0] if below else folder
    files = {}
    for split in ("train", *task.evaluation):
        path = _find(folder, split)
        if path is None:
            names = " or ".join(f"{stem}{{{','.join(SUFFIXES)}}}" for stem in _STEMS[split])
            raise InputError(f"no {split} file of task {task.name}", file=folder, accepted=names)
        files[split] = path
    tables = {split: list(_rows(path)) for split, path in files.items()}
    for split, rows in tables.items():
        if not rows:
            raise InputError("holds no rows", file=files[split])
    columns = _columns(task, files["train"], tables["train"][0][1])
    if task.name in OWN:
        task = settled(task, labels=_classes(task, files["train"], tables["train"]), pair=len(columns) == 2)
    return task, {split: _split(task, files[split], rows) for split, rows in tables.items()}


def _find(folder: Path, split: str) -> Path | None:
    for stem in _STEMS[split]:
        for suffix in SUFFIXES:
            path = folder / f"{stem}{suffix}"
            if path.is_file():
                return path
    return None


def _rows(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """(line number, cells by column) of every row."""
    text = read_text(path)
    if path.suffix == ".jsonl":
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip():
                continue
            try:
                content = json.loads(line)
            except json.JSONDecodeError as error:
                raise InputError(f"not valid JSON: {error.msg}", file=f"{path}:{number}") from None
            if not isinstance(content, dict):
                raise InputError("not a JSON object", file=f"{path}:{number}")
            yield number, content
        return
    # GLUE's tsv files have no quoting: a quotation mark is a character of the sentence.
    tabs = path.suffix == ".tsv"
    csv.field_size_limit(1 << 24)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter="\t" if tabs else ",",
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
    )
    header: list[str] | None = None
    try:
        for cells in reader:
            if not cells:
                continue
            if header is None:
                header = [name.strip().lstrip("\ufeff") for name in cells]
                continue
            if len(cells) != len(header):
                raise InputError(
                    f"{len(cells)} cells, the header has {len(header)}", file=f"{path}:{reader.line_num}"
                )
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise InputError(f"not readable as {path.suffix[1:]}: {error}", file=f"{path}:{reader.line_num}") from None


def _columns(task: Task, path: Path, row: dict[str, object]) -> tuple[str, ...]:
    """Names of the sentence columns in a file, which may be ours or the hub's."""
    pair, single = ("sentence1", "sentence2"), ("sentence",)
    choices: list[tuple[str, ...]] = [pair, single] if task.pair is None else [pair if task.pair else single]
    if task.hub_columns:
        choices.append(task.hub_columns)
    if LABEL in row:
        for names in choices:
            if all(name in row for name in names):
                return names
    wanted = " or ".join(dict.fromkeys(", ".join((*names, LABEL)) for names in choices))
    raise InputError(f"columns missing, found {', '.join(map(str, row))}", file=path, accepted=wanted)


def _classes(task: Task, path: Path, rows: list[tuple[int, dict[str, object]]]) -> tuple[str, ...]:
    """Names of the classes: 0 … n−1 where every label is a whole number, else the sorted labels."""
    if task.regression:
        return ()
    found = {str(row.get(LABEL, "")).strip() for _, row in rows}
    if all(label.isdecimal() for label in found):
        count = max(int(label) for label in found) + 1
        names = tuple(str(number) for number in range(count))
        if len(found) < count:
            missing = next(name for name in names if name not in {str(int(label)) for label in found})
            raise InputError(
                f"labels reach {count - 1}, but none is {missing}",
                file=path,
                field=LABEL,
                accepted="0 to n-1, each of them used, or names",
            )
    else:
        names = tuple(sorted(found))
    if len(names) < 2:
        raise InputError("only one class", file=path, field=LABEL, accepted="two or more")
    return names


def _split(task: Task, path: Path, rows: list[tuple[int, dict[str, object]]]) -> Split:
    columns = _columns(task, path, rows[0][1])
    sentences, labels = [], []
    for number, row in rows:
        texts = tuple(row.get(name) for name in columns)
        for name, text in zip(columns, texts, strict=True):
            if not isinstance(text, str):
                raise InputError("not a text", file=f"{path}:{number}", field=name, value=text)
        sentences.append(tuple(str(text) for text in texts))
        labels.append(_label(task, row.get(LABEL), f"{path}:{number}"))
    return Split(tuple(sentences), tuple(labels))


def _label(task: Task, given: object, where: str) -> float | int:
    text = str(given).strip()
    if task.regression:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise InputError("not a number", file=where, field=LABEL, value=given, accepted="a finite number")
        return value
    if text in task.labels:
        return task.labels.index(text)
    if text.isdecimal() and int(text) < len(task.labels):
        return int(text)
    names = ", ".join(task.labels)
    numbered = all(label.isdecimal() for label in task.labels)
    accepted = names if numbered else f"0 to {len(task.labels) - 1}, or {names}"
    raise InputError("not a label of this task", file=where, field=LABEL, value=given, accepted=accepted)
