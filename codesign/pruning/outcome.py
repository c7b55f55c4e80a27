"""The results of a run, and the folder they are written to."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from codesign import __version__
from codesign.checksums import FILES, file_hash, sealed
from codesign.files import to_json, to_yaml
from codesign.hardware.run import Prediction
from codesign.outputs import Output
from codesign.pruning.budget import Hardware
from codesign.pruning.encoder import Matrices
from codesign.pruning.record import RECORD
from codesign.pruning.selection import Masks
from codesign.pruning.settings import Settings
from codesign.report.block_map import block_map
from codesign.tasks.evaluate import Scores
from codesign.tasks.task import Task

FORMAT = "codesign-metrics-1"
MASKS = "masks.safetensors"
_PACKAGES = ("torch", "transformers", "accelerate", "datasets", "numpy")


@dataclass(frozen=True)
class Outcome:
    """A pruned model with all that is known of it.

    Attributes:
        hardware: Plan and board.
        task: The task.
        settings: Choices of the run.
        model: The pruned model; pruned blocks are exactly zero.
        tokenizer: Its tokenizer.
        matrices: Its pruned layers.
        masks: Kept blocks.
        dense_scores, pruned_scores: Metrics by evaluation split, in points.
        source: Where the data came from.
        columns: What its files call our columns, where it is something else.
        sha256: Of what was read: ``data`` by split, ``model`` by file.
        precision: ``bf16`` or ``fp32``: what training ran in.
        phase_seconds: Wall time by phase.
        seconds: Wall time of this process, evaluation included.
        processes: That trained together.
    """

    hardware: Hardware
    task: Task
    settings: Settings
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    matrices: Matrices
    masks: Masks
    dense_scores: Scores
    pruned_scores: Scores
    source: str
    columns: Mapping[str, str] | None
    sha256: Mapping[str, Mapping[str, str]]
    precision: str
    phase_seconds: Mapping[str, float]
    seconds: float
    processes: int

    @cached_property
    def predicted(self) -> Prediction:
        """Of whole sentences through the pruned model."""
        return self.hardware.predicted(self.masks)

    @property
    def headline(self) -> tuple[str, float, float]:
        """(metric, dense, pruned): the task's first metric on its first evaluation split."""
        metric, split = self.task.metrics[0].value, self.task.evaluation[0]
        return metric, self.dense_scores[split][metric], self.pruned_scores[split][metric]

    def document(self) -> dict[str, Any]:
        """As data: what metrics.json holds."""
        metric, dense, pruned = self.headline
        parameters = sum(p.numel() for p in self.model.parameters())
        encoder = self.hardware.weights
        kept = self.hardware.kept_weights(self.masks)
        embeddings = sum(m.weight.numel() for m in self.model.modules() if isinstance(m, torch.nn.Embedding))
        blocks = sum(mask.numel() for mask in self.masks.values())
        kept_blocks = sum(int(mask.sum()) for mask in self.masks.values())
        plan = self.hardware.plan
        return {
            "format": FORMAT,
            "task": self.task.name,
            "data": self.source,
            "columns": self.columns,
            "model": plan.model,
            "labels": list(self.task.labels),
            "metric": metric,
            "unit": "points: 100 times the metric's textbook value",
            "dense": dense,
            "pruned": pruned,
            "integer": None,
            "all_metrics": {"dense": self.dense_scores, "pruned": self.pruned_scores},
            "compression": {
                "encoder": encoder / kept,
                "with_embeddings": parameters / (parameters - encoder + kept),
                "blocks": blocks / kept_blocks,
            },
            "budget": {
                "kind": plan.budget.kind.value,
                "value": plan.budget.value,
                "reached": self.hardware.reached(self.masks),
            },
            "weights": {
                "encoder_matrices": encoder,
                "encoder_matrices_kept": kept,
                "embeddings": embeddings,
                "other": parameters - encoder - embeddings,
                "nonzero_in_matrices": sum(int(m.weight.count_nonzero()) for m in self.matrices.values()),
            },
            "predicted_speedup": self.predicted.speedup,
            "predicted": {
                "cycles": self.predicted.cycles,
                "dense_cycles": self.predicted.dense_cycles,
                "latency_ms": self.predicted.latency_ms,
                "board": plan.board,
                "tokens": plan.tokens,
                "batch": plan.batch,
                "array": {key: getattr(plan.accelerator, key) for key in ("rows", "cols", "lanes")},
            },
            "layers": [
                {
                    "name": layer.name,
                    "out_features": layer.out_features,
                    "in_features": layer.in_features,
                    "blocks": layer.blocks,
                    "nonzero_blocks": layer.nonzero_blocks,
                    "density": layer.nonzero_blocks / layer.blocks,
                    "blocks_per_row": _spread(self.masks[layer.name]),
                    "predicted_cycles": layer.predicted_cycles,
                    "weight_memory": layer.weight_memory.value,
                }
                for layer in self.hardware.layers(self.masks)
            ],
            "settings": asdict(self.settings),
            "seed": self.settings.seed,
            "precision": self.precision,
            "processes": self.processes,
            "versions": {
                "codesign": __version__,
                "python": platform.python_version(),
                **{name: importlib.metadata.version(name) for name in _PACKAGES},
            },
            "date": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            "seconds": self.seconds,
            "phase_seconds": dict(self.phase_seconds),
            "sha256": {name: dict(parts) for name, parts in self.sha256.items()},
        }


def _spread(mask: torch.Tensor) -> dict[str, int]:
    rows = mask.sum(dim=1)
    return {"least": int(rows.min()), "most": int(rows.max())}


def write_outcome(outcome: Outcome, output: Output, *, keep_work: bool = False) -> tuple[Path, ...]:
    """Write the results; the checkpoints of the phases go when all is there.

    Returns what somebody has put beside them, which stays.

    Files: what ``save_pretrained`` writes of model and tokenizer, masks.safetensors (one uint8 per block, 1 kept),
    plan.yaml, metrics.json, blocks.png.

    Raises:
        InputError: They cannot be written, or the disk is full; nothing of an earlier result is then changed.
    """

    def fill(folder: Path) -> None:
        outcome.model.save_pretrained(folder)
        outcome.tokenizer.save_pretrained(folder)
        save_file({n: m.cpu().to(torch.uint8).contiguous() for n, m in outcome.masks.items()}, folder / MASKS)
        header = "# The plan that the model was pruned under. Written by `codesign prune`.\n"
        plan = outcome.hardware.plan.model_dump(mode="json")
        (folder / "plan.yaml").write_text(header + to_yaml(plan), encoding="utf-8")
        pictures = {name: mask.cpu().numpy() for name, mask in outcome.masks.items()}
        (folder / "blocks.png").write_bytes(block_map(pictures, f"{plan['model']} on {plan['board']}"))
        hashes = {path.name: file_hash(path) for path in sorted(folder.iterdir())}
        document = sealed({**outcome.document(), FILES: hashes})
        (folder / "metrics.json").write_text(to_json(document), encoding="utf-8")

    left = output.write(fill, keep_scratch=keep_work)
    (output.scratch / RECORD).unlink(missing_ok=True)
    return left
