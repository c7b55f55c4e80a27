"""A task's data, from the hub or from local files, as datasets ready for a model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codesign.errors import InputError
from codesign.report.console import working
from codesign.tasks.files import Split, read_folder
from codesign.tasks.task import OWN, Task

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

HUB = "nyu-mll/glue"


@dataclass(frozen=True)
class TaskData:
    """A task with its sentences.

    Attributes:
        task: The task, its classes known.
        source: Where the data came from.
        splits: ``train`` and the task's evaluation splits.
    """

    task: Task
    source: str
    splits: dict[str, Split]


def load_data(task: Task, data_dir: Path | None) -> TaskData:
    """A task's sentences from a local folder, or from the hub without one.

    Raises:
        InputError: A file is missing or wrong, or the hub cannot be reached.
    """
    if data_dir is not None:
        task, splits = read_folder(task, data_dir)
        return TaskData(task, str(data_dir), splits)
    if task.name in OWN:
        raise InputError(f"task {task.name} needs files", field="--data-dir", accepted="a folder with train and dev")
    return TaskData(task, HUB, _from_hub(task))


def _from_hub(task: Task) -> dict[str, Split]:
    from datasets import load_dataset

    try:
        with working(f"asking the hub for {HUB}, {task.name}"):
            found = load_dataset(HUB, task.name)
    except Exception as error:  # the hub library raises many kinds; all mean "not to be had"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"the hub gave no data ({HUB}, {task.name}): {reason}",
            field="--task",
            value=task.name,
            accepted="--data-dir with local files, or a connection",
        ) from None
    splits = {}
    for name in ("train", *task.evaluation):
        part = found[name]
        texts = tuple(zip(*(part[column] for column in task.hub_columns), strict=True))
        splits[name] = Split(texts, tuple(part["label"]))
    return splits


def tokenised(split: Split, tokenizer: PreTrainedTokenizerBase, tokens: int, limit: int | None = None) -> Dataset:
    """A split as token numbers, cut to ``tokens``, not padded: a collator pads each batch.

    Args:
        split: Sentences and labels.
        tokenizer: The model's own.
        tokens: Longest sentence, or pair of sentences, in tokens.
        limit: Use only so many rows, the first ones.
    """
    from datasets import Dataset

    columns: list[list[str]] = [list(column) for column in zip(*split.sentences[:limit], strict=True)]
    encoded: dict[str, Any] = dict(tokenizer(*columns, truncation=True, max_length=tokens))
    return Dataset.from_dict({**encoded, "labels": list(split.labels[:limit])})
