"""A finished pruning run, read back from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from codesign.checksums import CHECKSUM, FILES, check_files, check_sealed
from codesign.design.folder import check_is_run
from codesign.errors import InputError
from codesign.files import check, read_json
from codesign.names import FileName
from codesign.planning import PlanDocument, load_plan
from codesign.pruning.encoder import encoder_matrices
from codesign.pruning.groups import group_norms
from codesign.pruning.model import Classifier, load_classifier
from codesign.pruning.outcome import FORMAT, MASKS
from codesign.pruning.record import first_change
from codesign.pruning.selection import Masks
from codesign.pruning.understood import check_understood
from codesign.tasks.agreement import AGREEMENT, EMBEDDED_SOURCE, agreement_data
from codesign.tasks.data import HUB, TaskData, load_data
from codesign.tasks.task import find_task

_AGAIN = "the file as codesign prune wrote it"


@dataclass(frozen=True)
class FinishedRun:
    """What a pruning run left.

    Attributes:
        folder: Where it is.
        metrics: metrics.json.
        plan: plan.yaml.
        masks: Kept blocks by matrix.
        start: The pruned model with its tokenizer.
        data: The task with its sentences.
    """

    folder: Path
    metrics: dict[str, Any]
    plan: PlanDocument
    masks: Masks
    start: Classifier
    data: TaskData


def read_run(folder: Path, data_dir: Path | None = None, columns: Mapping[str, str] | None = None) -> FinishedRun:
    """A run from its folder.

    Args:
        folder: What ``codesign prune`` wrote.
        data_dir: Where the task's files are now; default: where they were.
        columns: What their columns are called now; default: what they were called.

    Raises:
        InputError: The folder is no finished run, a file of it is missing, damaged or does not fit the others, or the
            data is not to be had, or other data than it was.
    """
    check_is_run(folder)
    path = folder / "metrics.json"
    if not path.is_file():
        raise InputError(
            "no metrics.json here", file=folder, accepted="the folder of a finished run, as codesign prune writes it"
        )
    metrics = read_json(path)
    if not isinstance(metrics, dict) or metrics.get("format") != FORMAT:
        found = metrics.get("format") if isinstance(metrics, dict) else None
        raise InputError("results of another format version", file=path, field="format", value=found, accepted=FORMAT)
    if CHECKSUM in metrics:
        check_sealed(metrics, path, _AGAIN)
    if FILES in metrics:
        check_files(folder, check(metrics[FILES], dict[FileName, str], path), path.name)
    plan = load_plan(folder)
    _check_plan(plan, metrics, folder)
    data = read_data(metrics, data_dir, columns)
    start = load_classifier(folder, data.task, plan.tokens, int(metrics["seed"]))
    for field in ("family", "hidden", "layers", "ffn", "heads"):
        planned, found = getattr(plan.shape, field), getattr(start.shape, field)
        if planned != found:
            raise InputError(
                "the plan is of another model", file=folder / "plan.yaml", field=f"shape.{field}", value=planned,
                accepted=f"{found}, as the model has",
            )  # fmt: skip
    if not start.fine_tuned:
        reason = f": {start.notes[0]}" if start.notes else ""
        raise InputError(
            f"the model has no classification head of the task{reason}", file=folder, value=data.task.name
        )
    if start.reordered and "labels" not in metrics:
        raise InputError(
            "an older version wrote this and left the names of a head that it had trained in the task's order",
            file=folder / "config.json",
            field="id2label",
            accepted=f"{', '.join(data.task.labels)}, or codesign prune anew",
        )
    check_understood(start, data, plan.tokens)
    return FinishedRun(folder, metrics, plan, _masks(folder / MASKS, plan, start), start, data)


def read_data(
    metrics: Mapping[str, Any], data_dir: Path | None = None, columns: Mapping[str, str] | None = None
) -> TaskData:
    """The task and the sentences that a run, or a design of it, was made with.

    Args:
        metrics: Its metrics.json.
        data_dir: Where the task's files are now; default: where they were.
        columns: What their columns are called now; default: what they were called.

    Raises:
        InputError: The data is not to be had, or other data than it was.
    """
    name, source = str(metrics.get("task")), str(metrics.get("data"))
    if name == AGREEMENT.name and source == EMBEDDED_SOURCE:
        data = agreement_data(int(metrics["seed"]))
    else:
        local = data_dir or (None if source == HUB else Path(source))
        data = load_data(find_task(name), local, columns or metrics.get("columns"))
    # Older runs do not say.
    then = metrics.get("sha256", {}).get("data")
    changed = None if then is None else first_change("data", then, data.sha256)
    if changed is not None:
        raise InputError(
            f"{changed} since the model was pruned",
            file=data.source,
            accepted="the data that it was made with, there or in --data-dir",
        )
    return data


def _check_plan(plan: PlanDocument, metrics: dict[str, Any], folder: Path) -> None:
    """Whether a plan is the one that the run's results are of: all that older runs, without hashes, can tell."""
    predicted = metrics.get("predicted")
    if not isinstance(predicted, dict):
        return
    array = predicted.get("array")
    wanted = {"board": predicted.get("board"), "tokens": predicted.get("tokens"), "batch": predicted.get("batch")}
    found: dict[str, object] = {name: getattr(plan, name) for name in wanted}
    if isinstance(array, dict):
        wanted |= {f"accelerator.{name}": value for name, value in array.items()}
        found |= {f"accelerator.{name}": getattr(plan.accelerator, name, None) for name in array}
    for field, value in wanted.items():
        if value is not None and found[field] != value:
            raise InputError(
                "not the plan that the model was pruned under", file=folder / "plan.yaml", field=field,
                value=found[field], accepted=f"{value}, as metrics.json has",
            )  # fmt: skip


def _masks(path: Path, plan: PlanDocument, start: Classifier) -> Masks:
    try:
        masks = {name: mask.bool() for name, mask in load_file(path).items()}
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"cannot be read: {reason}", file=path) from None
    for name, module in encoder_matrices(start.model, start.shape).items():
        norms = group_norms(module.weight.detach(), plan.accelerator.block)
        if name not in masks or masks[name].shape != norms.shape:
            raise InputError("no mask of this matrix in the plan's blocks", file=path, field=name)
        if (norms[~masks[name]] > 0).any():
            raise InputError("the model has weights in pruned blocks", file=path, field=name)
    return masks
