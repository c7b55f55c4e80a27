"""The classes of a fine-tuned head, matched by name with those of a task."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_NUMBER = re.compile(r"(?:label)?(\d+)")


def head_names(config: Mapping[str, object]) -> tuple[str, ...]:
    """The names of a head's outputs, in their order, from a model's config.json; empty where it contradicts itself.

    A config without names has two outputs, ``LABEL_0`` and ``LABEL_1``, as transformers takes it, or as many as
    ``num_labels`` says.
    """
    named, numbered = config.get("id2label"), config.get("label2id")
    by_number = {str(number): str(name) for number, name in named.items()} if isinstance(named, Mapping) else {}
    by_name = {str(number): str(name) for name, number in numbered.items()} if isinstance(numbered, Mapping) else {}
    if not by_number or (_unnamed(by_number) and not _unnamed(by_name)):
        by_number = by_name
    elif by_name != by_number and not _unnamed(by_name):
        return ()
    count = config.get("num_labels")
    if not by_number:
        return tuple(f"LABEL_{number}" for number in range(count if isinstance(count, int) else 2))
    if set(by_number) != {str(number) for number in range(len(by_number))}:
        return ()
    return tuple(by_number[str(number)] for number in range(len(by_number)))


def class_order(names: Sequence[str], labels: Sequence[str]) -> tuple[int, ...] | None:
    """The output of a head for each class of a task; None where they cannot be matched.

    Names are the same whatever their case, spaces, ``_`` and ``-``; ``LABEL_1``, or ``1``, is class number 1.

    Args:
        names: Of the head's outputs, in their order.
        labels: Of the task's classes, in their order.
    """
    if len(names) != len(labels):
        return None
    for key in (str, _plain):
        found = _matched([key(name) for name in names], [key(label) for label in labels])
        if found is not None:
            return found
    numbers = [_NUMBER.fullmatch(_plain(name)) for name in names]
    given = [str(int(number[1])) for number in numbers if number]
    return _matched(given, [str(number) for number in range(len(labels))])


def _matched(names: list[str], labels: list[str]) -> tuple[int, ...] | None:
    """Where each label is among the names, if both are the same names, each once."""
    if sorted(names) != sorted(labels) or len(set(names)) < len(names):
        return None
    return tuple(names.index(label) for label in labels)


def _unnamed(names: Mapping[str, str]) -> bool:
    return all(_NUMBER.fullmatch(_plain(name)) for name in names.values())


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]", "", name.casefold())
