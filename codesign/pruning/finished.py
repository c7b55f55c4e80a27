"""A finished pruning run, read back from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from codesign.errors import InputError
from codesign.files import read_json
from codesign.planning import PlanDocument, load_plan
from codesign.pruning.encoder import encoder_matrices
from codesign.pruning.fingerprint import folder_sha256
from codesign.pruning.groups import group_norms
from codesign.pruning.model import Classifier, load_classifier
from codesign.pruning.outcome import FORMAT, MASKS
from codesign.pruning.record import first_change
from codesign.pruning.selection import Masks
from codesign.tasks.agreement import AGREEMENT, EMBEDDED_SOURCE, agreement_data
from codesign.tasks.data import HUB, TaskData, load_data
from codesign.tasks.task import find_task


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
    path = folder / "metrics.json"
    if not path.is_file():
        raise InputError(
            "no metrics.json here", file=folder, accepted="the folder of a finished run, as codesign prune writes it"
        )
    metrics = read_json(path)
    if not isinstance(metrics, dict) or metrics.get("format") != FORMAT:
        found = metrics.get("format") if isinstance(metrics, dict) else None
        raise InputError("results of another format version", file=path, field="format", value=found, accepted=FORMAT)
    plan = load_plan(folder)
    name, source = str(metrics.get("task")), str(metrics.get("data"))
    if name == AGREEMENT.name and source == EMBEDDED_SOURCE:
        data = agreement_data(int(metrics["seed"]))
    else:
        local = data_dir or (None if source == HUB else Path(source))
        data = load_data(find_task(name), local, columns or metrics.get("columns"))
    _check_unchanged(
        metrics, "data", data.sha256, data.source, "the data that it was made with, there or in --data-dir"
    )
    start = load_classifier(folder, data.task, plan.tokens, int(metrics["seed"]))
    if not start.fine_tuned:
        raise InputError("the model has no classification head of the task's size", file=folder, value=name)
    masks = _masks(folder / MASKS, plan, start)
    _check_unchanged(metrics, "run", folder_sha256(folder), folder, "the folder as codesign prune wrote it")
    return FinishedRun(folder, metrics, plan, masks, start, data)


def _check_unchanged(
    metrics: Mapping[str, Any], kind: str, now: Mapping[str, str], where: object, accepted: str
) -> None:
    """Whether what is there now is what the scores in metrics.json are of; older ones do not say."""
    then = metrics.get("sha256", {}).get(kind)
    changed = None if then is None else first_change(kind, then, now)
    if changed is not None:
        raise InputError(f"{changed} since the model was pruned", file=where, accepted=accepted)


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
