"""Heads' classes against tasks' classes, by name."""

from __future__ import annotations

import itertools

import pytest

from codesign.tasks.head_names import class_order, head_names
from codesign.tasks.task import GLUE


@pytest.mark.parametrize("task", [task for task in GLUE.values() if task.labels], ids=lambda task: task.name)
def test_every_order_of_a_task_s_classes_is_found(task) -> None:
    for outputs in itertools.permutations(task.labels):
        for written in (
            str,
            str.upper,
            lambda name: name.replace("_", " ").title(),
            lambda name: name.replace("_", "-"),
        ):
            order = class_order([written(name) for name in outputs], task.labels)
            assert order is not None
            assert [outputs[row] for row in order] == list(task.labels)
    numbered = [f"LABEL_{number}" for number in range(len(task.labels))]
    assert class_order(numbered, task.labels) == tuple(range(len(task.labels)))
    assert class_order(numbered[::-1], task.labels) == tuple(reversed(range(len(task.labels))))


@pytest.mark.parametrize(
    ("names", "labels", "order"),
    [
        (("CONTRADICTION", "NEUTRAL", "ENTAILMENT"), ("entailment", "neutral", "contradiction"), (2, 1, 0)),
        (("1", "0"), ("no", "yes"), (1, 0)),
        (("b", "a", "c"), ("a", "b", "c"), (1, 0, 2)),
        (("a b", "ab"), ("ab", "a b"), (1, 0)),  # alike but for the space: then as they are written
        (("A B", "ab"), ("ab", "a b"), None),
        (("pos", "neg"), ("negative", "positive"), None),
        (("LABEL_0", "positive"), ("negative", "positive"), None),
        (("LABEL_1", "LABEL_2"), ("negative", "positive"), None),
        (("a", "a"), ("a", "b"), None),
        (("a", "b", "c"), ("a", "b"), None),
    ],
)
def test_by_hand(names: tuple[str, ...], labels: tuple[str, ...], order: tuple[int, ...] | None) -> None:
    assert class_order(names, labels) == order


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({}, ("LABEL_0", "LABEL_1")),
        ({"num_labels": 3}, ("LABEL_0", "LABEL_1", "LABEL_2")),
        ({"id2label": {"1": "b", "0": "a"}}, ("a", "b")),
        ({"id2label": {1: "b", 0: "a"}}, ("a", "b")),
        ({"label2id": {"b": 0, "a": 1}}, ("b", "a")),
        ({"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": {"b": 0, "a": 1}}, ("b", "a")),
        ({"id2label": {"0": "b", "1": "a"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}}, ("b", "a")),
        ({"id2label": {"0": "a", "1": "b"}, "label2id": {"b": 0, "a": 1}}, ()),
        ({"id2label": {"0": "a", "2": "b"}}, ()),
    ],
)
def test_names_of_a_config(config: dict, names: tuple[str, ...]) -> None:
    assert head_names(config) == names
