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


def batches(
    dataset: Dataset, collator: Callable[[list[Any]], Mapping[str, Tensor]], batch_size: int = 64
) -> Iterator[dict[str, Tensor]]:
    """A dataset in batches, like lengths together for less padding."""
    import torch
    from torch.utils.data import DataLoader

    order = torch.tensor([len(ids) for ids in dataset["input_ids"]]).argsort(stable=True).tolist()
    for batch in DataLoader(dataset.select(order), batch_size=batch_size, collate_fn=collator):
        yield dict(batch)


def evaluate(
    logits_of: Callable[[dict[str, Tensor]], Tensor],
    task: Task,
    datasets: Mapping[str, Dataset],
    collator: Callable[[list[Any]], Mapping[str, Tensor]],
) -> Scores:
    """Every metric on every evaluation split.

    Args:
        logits_of: Sentences × classes of a batch without its labels.
        task: The task.
        datasets: Tokenised splits.
        collator: Pads a batch.
    """
    import torch

    scores = {}
    for split in task.evaluation:
        logits, labels = [], []
        for batch in batches(datasets[split], collator):
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
