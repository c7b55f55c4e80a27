"""Scoring whatever gives logits on a task's evaluation splits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from codesign.tasks.metrics import score
from codesign.tasks.task import Task

if TYPE_CHECKING:
    from datasets import Dataset
    from torch import Tensor

Scores = dict[str, dict[str, float]]
"""Points by metric, by evaluation split."""
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


def evaluate(
    logits_of: Callable[[dict[str, Tensor]], Tensor],
    task: Task,
    datasets: Mapping[str, Dataset],
    collator: Callable[[list[Any]], Mapping[str, Tensor]],
    shown: Callable[[Batches, int], Batches] = unseen,
) -> Scores:
    """Every metric on every evaluation split.

    Args:
        logits_of: Sentences × classes of a batch without its labels.
        task: The task.
        datasets: Tokenised splits.
        collator: Pads a batch.
        shown: Passes batches through, given how many there are; for a progress bar.
    """
    import torch

    scores = {}
    for split in task.evaluation:
        logits, labels = [], []
        for batch in shown(batches(datasets[split], collator), -(-len(datasets[split]) // _BATCH)):
            labels.append(batch.pop("labels"))
            with torch.no_grad():
                logits.append(logits_of(batch).float().cpu())
        scores[split] = score(task, torch.cat(logits).numpy(), torch.cat(labels).numpy())
    return scores


def scores_text(scores: Scores) -> str:
    """Scores in a line."""
    parts = []
    for split, values in scores.items():
        where = "" if len(scores) == 1 else f" ({split})"
        parts += [f"{metric} {value:.2f}{where}" for metric, value in values.items()]
    return ", ".join(parts)
