"""Labels: classes by name or by number, or values. What they are is decided once, on the training file."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from codesign.errors import InputError
from codesign.tasks.tables import Table

_WHOLE = re.compile(r"0|[1-9][0-9]*")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9]+")
_MISSING = ("", "null", "nan")
"""How files write that there is no label. Classes may be called None or NA: those are said with the others."""
_FEW = 10
"""Classes that are never too many for the sentences, and that are named one by one."""
_ROWS_PER_CLASS = 3
_VALUES = "for values to predict: --task regression"


@dataclass(frozen=True)
class Classes:
    """The classes of a task.

    Attributes:
        names: In the order of their numbers.
        by_number: Whether every label of the files is a class's number, rather than its name.
    """

    names: tuple[str, ...]
    by_number: bool

    @property
    def written(self) -> tuple[str, ...]:
        """How the files write each class."""
        return tuple(str(number) for number in range(len(self.names))) if self.by_number else self.names

    def number(self, text: str, where: str, field: str) -> int:
        """The class of a label.

        Raises:
            InputError: There is no such class.
        """
        if text in self.written:
            return self.written.index(text)
        raise InputError(
            "not a label of this task, whose training labels are " + ("numbers" if self.by_number else "names"),
            file=where,
            field=field,
            value=text,
            accepted=f"0 to {len(self.names) - 1}" if self.by_number else shortened(self.names),
        )


def label_text(given: object, where: str, field: str) -> str:
    """A label as text, without white space around it.

    Raises:
        InputError: There is none, or it is no text and no number.
    """
    if given is not None and not isinstance(given, str | int | float):
        raise InputError("not a text or a number", file=where, field=field, value=given)
    text = "" if given is None else str(given).lower() if isinstance(given, bool) else str(given).strip()
    if text.lower() in _MISSING:
        raise InputError("there is no label", file=where, field=field, value=given, accepted="one on every row")
    return text


def label_value(given: object, where: str, field: str) -> float:
    """A label as a value to predict.

    Raises:
        InputError: It is no finite number.
    """
    text = str(given).strip()
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise InputError("not a number", file=where, field=field, value=given, accepted="a finite number")
    return value


def known_classes(names: tuple[str, ...], labels: Sequence[str], table: Table, field: str) -> Classes:
    """The classes of a task that has them, by what the training labels are.

    Raises:
        InputError: The training labels are neither all names nor all numbers of classes, or all of one class.
    """
    kinds = [Classes(names, by_number) for by_number in (False, True)]
    for classes in kinds:
        if set(labels) <= set(classes.written):
            if len(set(labels)) == 1:
                raise _only_one(labels[0], table, field)
            return classes
    # The odd one out is named: of which kind most are.
    most = max(kinds, key=lambda classes: sum(label in classes.written for label in labels))
    row = next(row for row, label in enumerate(labels) if label not in most.written)
    raise InputError(
        "not a label of this task",
        file=f"{table.path}:{table.rows[row][0]}",
        field=field,
        value=labels[row],
        accepted=f"0 to {len(names) - 1} on every row, or on every row one of {', '.join(names)}",
    )


def found_classes(labels: Sequence[str], table: Table, field: str) -> Classes:
    """The classes of the user's own files: 0 … n−1 where every label is a whole number, else the sorted labels.

    Raises:
        InputError: There is one class only, numbers are left out, or these are values rather than classes.
    """
    found = Counter(labels)

    def refused(problem: str, accepted: str, value: object = None) -> InputError:
        return InputError(problem, file=table.path, field=field, value=value, accepted=accepted)

    if len(found) < 2:
        raise _only_one(next(iter(found)), table, field)
    if all(_NUMBER.fullmatch(label) for label in found):
        value = next((label for label in found if not _INTEGER.fullmatch(label)), None)
        if value is not None:
            raise refused(
                f"labels with a decimal point are no classes, {len(found)} different ones in {len(labels)} rows",
                f"whole numbers 0 to n-1, or names; {_VALUES}",
                value,
            )
    if len(found) > _FEW and len(found) * _ROWS_PER_CLASS > len(labels):
        raise refused(
            f"{len(found)} different labels in {len(labels)} rows are too many to be classes",
            f"at least {_ROWS_PER_CLASS} sentences per class on average; {_VALUES}",
        )
    if not all(_WHOLE.fullmatch(label) for label in found):
        return Classes(tuple(sorted(found)), by_number=False)
    classes = Classes(tuple(str(number) for number in range(len(found))), by_number=True)
    missing = next((name for name in classes.names if name not in found), None)
    if missing is not None:
        # By length first: a label may have more digits than Python makes an integer of.
        most = max(found, key=lambda label: (len(label), label))
        raise refused(
            f"labels reach {most:.20}, but none is {missing}",
            f"0 to n-1, each of them used, or names; {_VALUES}",
        )
    return classes


def _only_one(label: str, table: Table, field: str) -> InputError:
    return InputError("only one class", file=table.path, field=field, value=label, accepted="two or more")


def classes_text(classes: Classes, labels: Sequence[int]) -> str:
    """How many classes there are, what they are called, and how often the training sentences have each."""
    counts = Counter(labels)
    numbered = classes.by_number and classes.names != classes.written
    each = [
        f"{f'{number} ' if numbered else ''}{name} ({counts[number]:,})" for number, name in enumerate(classes.names)
    ]
    kind = "number" if classes.by_number else "name"
    return f"{len(classes.names)} classes, labels by {kind}: {shortened(each)} training sentences"


def shortened(names: Sequence[str]) -> str:
    """Names in a line, the first of them where there are many."""
    rest = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {rest:,} more" if rest > 0 else "")
