"""What a task is: the nine of GLUE with their official metrics, and any file of the same form.

Columns, label names, splits and metrics are those of GLUE (Wang et al., 2019, arXiv 1804.07461, table 1) as the hub's
``nyu-mll/glue`` holds them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from codesign.errors import InputError


class Metric(StrEnum):
    """How predictions are scored; every score is given in points, 100 × the textbook value."""

    MATTHEWS = "matthews"
    ACCURACY = "accuracy"
    F1 = "f1"
    PEARSON = "pearson"
    SPEARMAN = "spearman"


@dataclass(frozen=True)
class Task:
    """One sentence or sentence-pair task.

    Attributes:
        name: As ``--task`` takes it.
        labels: Names of the classes in the order of their numbers; empty for regression.
        metrics: The official ones; the first is the one that a single number is reported in.
        pair: Whether it has two sentences; None where the data decides.
        hub_columns: What the hub calls the sentences; a local file may use these names too.
        evaluation: Names of the splits that are evaluated; the first decides.
    """

    name: str
    labels: tuple[str, ...]
    metrics: tuple[Metric, ...]
    pair: bool | None
    hub_columns: tuple[str, ...]
    evaluation: tuple[str, ...] = ("validation",)

    @property
    def regression(self) -> bool:
        """Whether the label is a number to predict rather than a class."""
        return Metric.PEARSON in self.metrics

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the sentence columns as local files have them."""
        return ("sentence1", "sentence2") if self.pair else ("sentence",)


_PAIR = ("sentence1", "sentence2")
_ENTAILMENT = ("entailment", "not_entailment")

GLUE = {
    task.name: task
    for task in (
        Task("cola", ("unacceptable", "acceptable"), (Metric.MATTHEWS,), False, ("sentence",)),
        Task("sst2", ("negative", "positive"), (Metric.ACCURACY,), False, ("sentence",)),
        Task("mrpc", ("not_equivalent", "equivalent"), (Metric.F1, Metric.ACCURACY), True, _PAIR),
        Task("qqp", ("not_duplicate", "duplicate"), (Metric.F1, Metric.ACCURACY), True, ("question1", "question2")),
        Task("stsb", (), (Metric.PEARSON, Metric.SPEARMAN), True, _PAIR),
        Task(
            "mnli",
            ("entailment", "neutral", "contradiction"),
            (Metric.ACCURACY,),
            True,
            ("premise", "hypothesis"),
            ("validation_matched", "validation_mismatched"),
        ),
        Task("qnli", _ENTAILMENT, (Metric.ACCURACY,), True, ("question", "sentence")),
        Task("rte", _ENTAILMENT, (Metric.ACCURACY,), True, _PAIR),
        Task("wnli", ("not_entailment", "entailment"), (Metric.ACCURACY,), True, _PAIR),
    )
}

OWN = {
    "classification": Task("classification", (), (Metric.ACCURACY,), None, ()),
    "regression": Task("regression", (), (Metric.PEARSON, Metric.SPEARMAN), None, ()),
}
"""Tasks of the user's own files; classes and number of sentences are read from the data."""


def find_task(name: str) -> Task:
    """A task by name; ``SST-2`` and ``sst2`` are the same.

    Raises:
        InputError: There is no such task.
    """
    key = task_key(name)
    if key in GLUE:
        return GLUE[key]
    if key in OWN:
        return OWN[key]
    raise InputError(
        "unknown task",
        field="--task",
        value=name,
        accepted=", ".join((*GLUE, *(f"{own} (own files)" for own in OWN))),
    )


def task_key(name: str) -> str:
    """A task's name without the marks that people put in: ``SST-2`` → ``sst2``."""
    return "".join(character for character in name.lower() if character.isalnum())


def settled(task: Task, *, labels: tuple[str, ...], pair: bool) -> Task:
    """A task of the user's own files once the data has been seen."""
    return replace(task, labels=labels, pair=pair)
