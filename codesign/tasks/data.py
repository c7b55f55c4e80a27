"""A task's data, from the hub or from local files, as datasets ready for a model."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codesign.errors import InputError, reason_of
from codesign.report.console import working
from codesign.tasks.files import Split, empty_text, read_folder
from codesign.tasks.labels import Classes, classes_text
from codesign.tasks.task import OWN, Task
from codesign.tasks.values import unit_of, values_text

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

HUB = "nyu-mll/glue"
_UNKNOWN = 0.01
"""The part of the tokens that may be unknown to a tokenizer without a word about it."""


@dataclass(frozen=True)
class TaskData:
    """A task with its sentences.

    Attributes:
        task: The task, its classes known.
        source: Where the data came from; the absolute path of a folder.
        splits: ``train`` and the task's evaluation splits.
        notes: What was decided about them, a line each.
        columns: What the files call our columns, where it is something else.
    """

    task: Task
    source: str
    splits: dict[str, Split]
    notes: tuple[str, ...] = ()
    columns: Mapping[str, str] | None = None

    @cached_property
    def sha256(self) -> dict[str, str]:
        """SHA-256 of every split as it was read: its sentences, its labels and the names of the classes."""
        return {name: _digest(self.task, split) for name, split in self.splits.items()}


def _digest(task: Task, split: Split) -> str:
    digest = hashlib.sha256(json.dumps(task.labels).encode())
    for row in zip(split.sentences, split.labels, strict=True):
        digest.update(json.dumps(row).encode() + b"\n")
    return digest.hexdigest()


def load_data(task: Task, data_dir: Path | None, columns: Mapping[str, str] | None = None) -> TaskData:
    """A task's sentences from a local folder, or from the hub without one.

    Args:
        task: The task.
        data_dir: The folder.
        columns: What its files call our columns, where it is something else.

    Raises:
        InputError: A file is missing or wrong, or the hub cannot be reached.
    """
    if data_dir is not None:
        read = read_folder(task, data_dir, columns)
        return TaskData(read.task, str(data_dir.resolve()), read.splits, read.notes, columns)
    if task.name in OWN:
        raise InputError(f"task {task.name} needs files", field="--data-dir", accepted="a folder with train and dev")
    if columns:
        raise InputError("the hub's columns are known", field="--columns", accepted="with --data-dir")
    return _from_hub(task)


def _from_hub(task: Task) -> TaskData:
    from datasets import load_dataset

    try:
        with working(f"asking the hub for {HUB}, {task.name}"):
            found = load_dataset(HUB, task.name)
    except Exception as error:  # the hub library raises many kinds; all mean "not to be had"
        raise InputError(
            f"the hub gave no data ({HUB}, {task.name}): {reason_of(error)}",
            field="--task",
            value=task.name,
            accepted="--data-dir with local files, or a connection",
        ) from None
    splits = {}
    for name in ("train", *task.evaluation):
        part = found[name]
        texts = tuple(zip(*(part[column] for column in task.hub_columns), strict=True))
        labels = tuple(part["label"])
        strange = None if task.regression else next((n for n in labels if n not in range(len(task.labels))), None)
        if strange is not None:
            raise InputError(
                "not a label of this task",
                file=f"{HUB} ({task.name}, {name})",
                field="label",
                value=strange,
                accepted=f"0 to {len(task.labels) - 1}",
            )
        splits[name] = Split(texts, labels)
    if task.regression:
        units = {name: unit_of(split.labels, f"{HUB} ({task.name}, {name})") for name, split in splits.items()}
        note = values_text(splits["train"].labels, units["train"])
    else:
        note = classes_text(Classes(task.labels, by_number=True), [int(n) for n in splits["train"].labels])
    return TaskData(task, HUB, splits, (note, *empty_text(splits)))


def drawn(split: Split, limit: int | None, seed: int) -> Split:
    """So many rows of a split, drawn by a seed, in the order in which they stand there: all where it has no more.

    Not the first ones: files are often sorted by class or by source.
    """
    if limit is None or limit >= len(split.labels):
        return split
    rows = sorted(random.Random(seed).sample(range(len(split.labels)), limit))
    return Split(tuple(split.sentences[row] for row in rows), tuple(split.labels[row] for row in rows))


def tokenised(split: Split, tokenizer: PreTrainedTokenizerBase, tokens: int) -> Dataset:
    """A split as token numbers, cut to ``tokens``, not padded: a collator pads each batch.

    Args:
        split: Sentences and labels.
        tokenizer: The model's own.
        tokens: Longest sentence, or pair of sentences, in tokens.
    """
    from datasets import Dataset

    encoded: dict[str, Any] = dict(tokenizer(*_columns(split.sentences), truncation=True, max_length=tokens))
    return Dataset.from_dict({**encoded, "labels": list(split.labels)})


def cut_text(
    name: str, split: Split, dataset: Dataset, tokenizer: PreTrainedTokenizerBase, tokens: int
) -> str | None:
    """How many rows of a split ``tokenised`` has cut, and by how much; None where none was."""
    full = [row for row, ids in enumerate(dataset["input_ids"]) if len(ids) >= tokens]
    if not full:
        return None
    # Only those can have been cut: the rest need not be looked at again.
    whole = tokenizer(*_columns([split.sentences[row] for row in full]), verbose=False)
    lengths = [len(ids) for ids in whole["input_ids"] if len(ids) > tokens]
    if not lengths:
        return None
    rows = "sentence pairs" if len(split.sentences[0]) == 2 else "sentences"
    side = "in front" if tokenizer.truncation_side == "left" else "behind"
    return (
        f"{name}: {len(lengths):,} of {len(split.labels):,} {rows} are longer than {tokens} tokens and lose what is"
        f" {side}, {sum(lengths) / len(lengths) - tokens:.3g} tokens on average; the longest has {max(lengths):,}"
    )


def unknown_text(name: str, dataset: Dataset, tokenizer: PreTrainedTokenizerBase, source: str) -> str | None:
    """How much of a tokenised split the tokenizer does not know, where that is more than ``_UNKNOWN``.

    Raises:
        InputError: It is all.
    """
    counts = Counter(chain.from_iterable(dataset["input_ids"]))
    unknown = counts[tokenizer.unk_token_id]
    special = sum(counts[number] for number in {*tokenizer.all_special_ids} - {tokenizer.unk_token_id})
    words = counts.total() - special
    if unknown and unknown == words:
        raise InputError(
            f"the tokenizer knows no word of the {name} split: every one is {tokenizer.unk_token}",
            file=source,
            accepted="sentences in the language of the model, and its own tokenizer",
        )
    if unknown <= _UNKNOWN * words:
        return None
    return f"{name}: the tokenizer does not know {unknown:,} of {words:,} tokens ({tokenizer.unk_token})"


def _columns(sentences: Any) -> list[list[str]]:
    return [list(column) for column in zip(*sentences, strict=True)]
