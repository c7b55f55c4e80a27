"""Scoring whatever gives logits on a task's evaluation splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from codesign.tasks.metrics import score
from codesign.tasks.task import Task

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

Scores = dict[str, dict[str, float]]
"""Points by metric, by evaluation split."""
Predictions = dict[str, tuple[np.ndarray, np.ndarray]]
"""Logits (sentences × classes) and labels, by evaluation split."""
_BATCH = 64


def batches(
    dataset: Dataset, collator: Callable[[list[Any]], Mapping[str, Tensor]], batch_size: int = _BATCH
) -> Iterator[dict[str, Tensor]]:
    """A dataset in batches, like lengths together for less padding."""
    import torch
    from torch.utils.data import DataLoader

    order = torch.tensor([len(ids) for ids in dataset["input_ids"]]).argsort(stable=True).tolist()
    for batch in DataLoader(dataset.select(order), batch_size=batch_size, collate_fn=collator):
        yield dict(batch)


Batches = Iterator[dict[str, "Tensor"]]


def unseen(batches: Batches, count: int) -> Batches:
    """No progress bar."""
    del count
    return batches


def predict(
    logits_of: Callable[[dict[str, Tensor]], Tensor],
    task: Task,
    datasets: Mapping[str, Dataset],
    collator: Callable[[list[Any]], Mapping[str, Tensor]],
    shown: Callable[[Batches, int], Batches] = unseen,
) -> Predictions:
    """Logits and labels of every evaluation split.

    Args:
        logits_of: Sentences × classes of a batch without its labels.
        task: The task.
        datasets: Tokenised splits.
        collator: Pads a batch.
        shown: Passes batches through, given how many there are; for a progress bar.
    """
    import torch

    found = {}
    for split in task.evaluation:
        logits, labels = [], []
        for batch in shown(batches(datasets[split], collator), -(-len(datasets[split]) // _BATCH)):
            labels.append(batch.pop("labels"))
            with torch.no_grad():
                logits.append(logits_of(batch).float().cpu())
        found[split] = torch.cat(logits).numpy(), torch.cat(labels).numpy()
    return found


def scores_of(task: Task, predictions: Predictions, model: str) -> Scores:
    """Every metric on every evaluation split.

    Args:
        task: The task.
        predictions: Of ``predict``.
        model: What gave them, for an error.

    Raises:
        InputError: A logit is NaN or infinite.
    """
    return {
        split: score(task, logits, labels, f"{model} ({split})") for split, (logits, labels) in predictions.items()
    }


@dataclass(frozen=True)
class Agreement:
    """How far one model's predictions are from another's, on one split.

    Attributes:
        sentences: How many there are.
        decided_otherwise: How many get another class; None in regression.
        logits_error: Root mean square of the logits' difference, less its mean over the classes (it decides nothing).
            In regression: of the values, in the labels' unit.
        relative_error: That over what it is to be measured by: the same of the wanted logits themselves, in
            regression the labels' standard deviation. None where that is 0.
    """

    sentences: int
    decided_otherwise: int | None
    logits_error: float
    relative_error: float | None


def agreement(task: Task, wanted: np.ndarray, found: np.ndarray, labels: np.ndarray) -> Agreement:
    """Of two models' logits, sentences × classes, on sentences with these labels."""
    wanted, found = wanted.astype(np.float64), found.astype(np.float64)
    otherwise = None
    measure = float(labels.std())
    if not task.regression:
        otherwise = int((found.argmax(axis=1) != wanted.argmax(axis=1)).sum())
        wanted, found = (logits - logits.mean(axis=1, keepdims=True) for logits in (wanted, found))
        measure = float(np.sqrt(np.mean(wanted**2)))
    error = float(np.sqrt(np.mean((found - wanted) ** 2)))
    return Agreement(len(wanted), otherwise, error, error / measure if measure else None)


def change_text(before: Scores, after: Scores) -> str:
    """Points that every metric has gained or lost, in a line."""
    parts = []
    for split, values in after.items():
        where = "" if len(after) == 1 else f" ({split})"
        parts += [f"{metric} {value - before[split][metric]:+.2f}{where}" for metric, value in values.items()]
    return ", ".join(parts) + " points"


def scores_text(scores: Scores) -> str:
    """Scores in a line."""
    parts = []
    for split, values in scores.items():
        where = "" if len(scores) == 1 else f" ({split})"
        parts += [f"{metric} {value:.2f}{where}" for metric, value in values.items()]
    return ", ".join(parts)
