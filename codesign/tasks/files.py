"""Sentences and labels from tsv, csv and jsonl files, each row checked, errors with the row's number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codesign.errors import InputError
from codesign.tasks.labels import Classes, classes_text, found_classes, known_classes, label_text, label_value
from codesign.tasks.tables import SUFFIXES, Table, read_table
from codesign.tasks.task import OWN, Task, settled, task_key
from codesign.tasks.values import unit_of, values_text

_STEMS = {
    "train": ("train",),
    "validation": ("validation", "dev", "valid"),
    "validation_matched": ("validation_matched", "dev_matched"),
    "validation_mismatched": ("validation_mismatched", "dev_mismatched"),
}
LABEL = "label"
_SINGLE, _PAIR = ("sentence",), ("sentence1", "sentence2")
COLUMNS = (*_SINGLE, *_PAIR, LABEL)
"""Names of the columns, unless others are given for them."""
_ASSIGNED = ", ".join(f"{name}=…" for name in COLUMNS)


@dataclass(frozen=True)
class Split:
    """Rows of one split: as many tuples of one or two sentences as labels."""

    sentences: tuple[tuple[str, ...], ...]
    labels: tuple[float | int, ...]


@dataclass(frozen=True)
class Read:
    """What a folder holds.

    Attributes:
        task: With classes and sentence columns settled from the data where they were open.
        splits: ``train`` and the task's evaluation splits.
        notes: What was decided about them, a line each.
    """

    task: Task
    splits: dict[str, Split]
    notes: tuple[str, ...]


def parse_columns(text: str) -> dict[str, str]:
    """``sentence1=premise,sentence2=hypothesis,label=gold`` by our names.

    Raises:
        InputError: A part is not name=column, unknown, given twice, or one sentence and a pair are both named.
    """
    found: dict[str, str] = {}

    def refused(
        problem: str, value: object, accepted: str = ", ".join(f"{name}=…" for name in COLUMNS)
    ) -> InputError:
        return InputError(problem, field="--columns", value=value, accepted=accepted)

    for part in text.split(","):
        name, separator, column = (piece.strip() for piece in part.partition("="))
        if not separator or not column:
            raise refused("not name=column", part)
        if name not in COLUMNS:
            raise refused("no such column", name)
        if name in found:
            raise refused("given twice", name)
        if column in found.values():
            raise refused("this column is given for two", column, "another column for each")
        found[name] = column
    if found.keys() & set(_SINGLE) and found.keys() & set(_PAIR):
        raise refused("one sentence, or two", text, "sentence=…, or sentence1=… and sentence2=…")
    return found


def read_folder(task: Task, folder: Path, columns: Mapping[str, str] | None = None) -> Read:
    """Every split of a task from a folder with ``train.tsv`` (or csv, jsonl) and ``dev.tsv`` (or ``validation``).

    The files may also lie in a sub-folder of the task's name. MNLI has ``dev_matched`` and ``dev_mismatched``.

    Args:
        task: The task.
        folder: Where its files are.
        columns: What the files call our columns, where it is something else.

    Raises:
        InputError: A file or column is missing or there twice, or a row is wrong.
    """
    if not folder.is_dir():
        raise InputError("no such folder", field="--data-dir", value=str(folder))
    if _find(folder, "train") is None:
        below = [p for p in sorted(folder.iterdir()) if p.is_dir() and task_key(p.name) == task.name]
        _check_one(below, folder)
        folder = below[0] if below else folder
    files = {}
    for split in ("train", *task.evaluation):
        path = _find(folder, split)
        if path is None:
            names = " or ".join(f"{stem}{{{','.join(SUFFIXES)}}}" for stem in _STEMS[split])
            raise InputError(f"no {split} file of task {task.name}", file=folder, accepted=names)
        files[split] = path
    given = columns or {}
    tables = {split: read_table(path) for split, path in files.items()}
    if task.name in OWN:
        task = settled(task, labels=(), pair=len(_sentence_columns(task, tables["train"], given)) == 2)
    sentences = {split: _sentence_columns(task, table, given) for split, table in tables.items()}
    label = given.get(LABEL, LABEL)
    classes = _classes(task, tables["train"], label)
    if classes is not None:
        task = settled(task, labels=classes.names, pair=bool(task.pair))
    splits = {split: _split(table, sentences[split], label, classes) for split, table in tables.items()}
    read = ", ".join(f"{table.path.name} ({len(table.rows):,} rows)" for table in tables.values())
    used = dict.fromkeys(column for columns in sentences.values() for column in (*columns, label))
    notes = [f"data: {read}; columns {', '.join(used)}"]
    labels = splits["train"].labels
    if classes is not None:
        notes.append(classes_text(classes, [int(number) for number in labels]))
    else:
        units = {name: unit_of(split.labels, f"{files[name]}: {label}") for name, split in splits.items()}
        notes.append(values_text(labels, units["train"]))
    return Read(task, splits, (*notes, *empty_text(splits)))


def _find(folder: Path, split: str) -> Path | None:
    """The one file of a split."""
    names = [folder / f"{stem}{suffix}" for stem in _STEMS[split] for suffix in SUFFIXES]
    found = [path for path in names if path.is_file()]
    _check_one(found, folder)
    return found[0] if found else None


def _check_one(found: Sequence[Path], folder: Path) -> None:
    if len(found) > 1:
        raise InputError(
            f"{' and '.join(path.name for path in found)} are the same part of the data",
            file=folder,
            accepted="one of them",
        )


def _sentence_columns(task: Task, table: Table, given: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the sentence columns in a file: given, ours or the hub's."""
    choices: list[tuple[str, ...]] = [_PAIR, _SINGLE] if task.pair is None else [_PAIR if task.pair else _SINGLE]
    named = given.keys() - {LABEL}
    if named:
        choices = [names for names in choices if named <= set(names)]
        if not choices:
            raise InputError(
                f"task {task.name} has {'two sentences' if task.pair else 'one sentence'}",
                field="--columns",
                value=", ".join(sorted(named)),
                accepted=", ".join(f"{name}=…" for name in (_PAIR if task.pair else _SINGLE)),
            )
        choices = [tuple(given.get(name, name) for name in names) for names in choices]
    elif task.hub_columns:
        choices.append(task.hub_columns)
    label = given.get(LABEL, LABEL)
    if label in table.columns:
        for names in choices:
            if all(name in table.columns for name in names):
                for name in names:
                    if [*names, label].count(name) > 1:
                        raise InputError(
                            "this column is taken for two", file=table.path, field=name,
                            accepted="another column for each: --columns",
                        )  # fmt: skip
                return names
    wanted = " or ".join(dict.fromkeys(", ".join((*names, label)) for names in choices))
    raise InputError(
        f"columns missing, found {', '.join(table.columns)}",
        file=table.path,
        accepted=f"{wanted}; --columns names others",
    )


def _classes(task: Task, train: Table, label: str) -> Classes | None:
    if task.regression:
        return None
    labels = [label_text(_cell(row, label, f"{train.path}:{n}"), f"{train.path}:{n}", label) for n, row in train.rows]
    if task.name in OWN:
        return found_classes(labels, train, label)
    return known_classes(task.labels, labels, train, label)


def _split(table: Table, columns: Sequence[str], label: str, classes: Classes | None) -> Split:
    sentences: list[tuple[str, ...]] = []
    labels: list[float | int] = []
    for number, row in table.rows:
        where = f"{table.path}:{number}"
        sentences.append(tuple(_text(_cell(row, name, where), where, name) for name in columns))
        found = _cell(row, label, where)
        if classes is None:
            labels.append(label_value(found, where, label))
        else:
            labels.append(classes.number(label_text(found, where, label), where, label))
    return Split(tuple(sentences), tuple(labels))


def _cell(row: Mapping[str, object], name: str, where: str) -> object:
    if name not in row:
        raise InputError("this field is missing", file=where, field=name)
    return row[name]


def _text(value: object, where: str, name: str) -> str:
    if not isinstance(value, str):
        raise InputError("not a text", file=where, field=name, value=value, accepted="a text")
    try:
        value.encode()
    except UnicodeEncodeError:  # which only an escape in JSON can have
        raise InputError("half a surrogate pair is no text", file=where, field=name, value=value) from None
    return value


def empty_text(splits: Mapping[str, Split]) -> list[str]:
    """How many sentences have no words, for each split that has such."""
    counts = {name: sum(not text.strip() for row in s.sentences for text in row) for name, s in splits.items()}
    return [f"{name}: {count:,} sentences are empty" for name, count in counts.items() if count]
