"""One phase of training, by transformers' Trainer: what the project adds is done after each optimiser step.

A checkpoint is complete when its ``pruning.safetensors`` is there, which is written last and by renaming: a kill at
any moment leaves at most an incomplete checkpoint, which resuming passes over.
"""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import load_file, save
from torch import Tensor
from torch.utils.data import Sampler
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers.trainer_pt_utils import get_length_grouped_indices

from codesign.errors import InputError
from codesign.files import write_bytes
from codesign.outputs import clear_checkpoint
from codesign.pruning.distillation import Distillation, distillation_loss
from codesign.pruning.padding import collator
from codesign.pruning.progress import STATE, complete_checkpoints
from codesign.pruning.settings import MOST_STEPS
from codesign.report.console import console, say
from codesign.tasks.metrics import score
from codesign.tasks.task import Task


@dataclass(frozen=True)
class Phase:
    """How one phase trains.

    Attributes:
        name: Shown, and the name of its folder.
        epochs: Passes over the training data.
        learning_rate: Highest; warmed up over the first 6 % and then linearly down to 0.
        batch_size: Sentences per process and step.
        seed: Of dropout and of the order of the data.
        bf16: Whether the forward pass runs in bfloat16 (weights stay float32).
        save_steps: Steps between two checkpoints; None for an epoch's, or ``MOST_STEPS`` where it has more.
        patience: Stop after so many epochs without a better metric, and keep the best; 0 for never.
        weight_decay: AdamW's.
    """

    name: str
    epochs: float
    learning_rate: float
    batch_size: int = 32
    seed: int = 0
    bf16: bool = False
    save_steps: int | None = None
    patience: int = 0
    weight_decay: float = 0.0


class AfterStep(Protocol):
    """What happens to the weights after each optimiser step."""

    def after_step(self, step: int, learning_rate: float) -> None:
        """Called with the number of steps done and the learning rate of the last one."""

    def state(self) -> dict[str, Tensor]:
        """Everything that a checkpoint must hold to go on as if never interrupted."""

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over a state."""


class Nothing:
    """Plain fine-tuning: nothing happens after a step."""

    def after_step(self, step: int, learning_rate: float) -> None:
        """Nothing."""

    def state(self) -> dict[str, Tensor]:
        """Nothing, but a checkpoint needs one entry to be a file."""
        return {"none": torch.zeros(1)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Nothing."""


@dataclass(frozen=True)
class Teacher:
    """The dense model that a pruned one learns from."""

    model: PreTrainedModel
    weights: Distillation


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bfloat16 in hardware; only then is it faster than float32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def use_bf16(precision: str) -> tuple[bool, str]:
    """(whether to autocast to bfloat16, why) for ``auto``, ``bf16`` or ``fp32``.

    Raises:
        InputError: Another word.
    """
    if precision == "auto":
        if torch.cuda.is_available():
            return (True, "the GPU has it") if torch.cuda.is_bf16_supported() else (False, "the GPU lacks bfloat16")
        return (True, "the CPU reports it") if cpu_has_bf16() else (False, "the CPU does not report bfloat16")
    if precision in ("bf16", "fp32"):
        return precision == "bf16", "as asked"
    raise InputError("not accepted", field="--precision", value=precision, accepted="auto, bf16, fp32")


def steps_per_epoch(sentences: int, batch_size: int, processes: int = 1) -> int:
    """Optimiser steps in one pass over the data."""
    return math.ceil(math.ceil(sentences / processes) / batch_size)


def phase_steps(phase: Phase, sentences: int, processes: int = 1) -> int:
    """Optimiser steps of a phase."""
    return math.ceil(phase.epochs * steps_per_epoch(sentences, phase.batch_size, processes))


def learning_rates(phase: Phase, steps: int) -> list[float]:
    """The learning rate of each step, as transformers' linear schedule has it."""
    warm = warmup_steps(steps)
    return [
        phase.learning_rate * (s / max(1, warm) if s < warm else max(0.0, (steps - s) / max(1, steps - warm)))
        for s in range(steps)
    ]


def warmup_steps(steps: int) -> int:
    """6 % of a phase; none of a single step, whose learning rate would be 0."""
    return math.ceil(0.06 * steps) if steps > 1 else 0


class _ByLength(Sampler[int]):
    """Sentences of like length together, in an order that depends on seed and epoch alone.

    transformers' own sampler draws from the global generator, whose state at an epoch's start a checkpoint from the
    middle of it does not hold: resuming would go on in another order.
    """

    def __init__(self, lengths: list[int], batch_size: int, seed: int, epoch: Callable[[], int]) -> None:
        self.lengths, self.batch_size, self.seed, self.epoch = lengths, batch_size, seed, epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + self.epoch())
        return iter(get_length_grouped_indices(self.lengths, self.batch_size, generator=generator))


class _PruningTrainer(Trainer):
    """Trainer with a teacher, and an order of the data that resuming can repeat."""

    def __init__(self, *, task: Task, phase: Phase, teacher: Teacher | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.task = task
        self.phase = phase
        self.teacher = teacher
        self.model_accepts_loss_kwargs = False  # the loss is a mean over the batch
        if teacher is not None:
            teacher.model.eval().requires_grad_(False).to(self.args.device)
        if self.args.device.type == "cpu":
            # torch's fused attention makes a training step of GLUE's short sentences a third longer here.
            for run in (kwargs["model"], *([teacher.model] if teacher else [])):
                run.set_attn_implementation("eager")

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        dataset: Any = train_dataset if train_dataset is not None else self.train_dataset
        lengths = [len(ids) for ids in dataset["input_ids"]]
        # The same groups whatever the number of processes that share them.
        together = self.args.per_device_train_batch_size * self.args.world_size
        return _ByLength(lengths, together, self.args.seed, lambda: int(self.state.epoch or 0))

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        found = self._loss(model, inputs, return_outputs)
        loss = found[0] if return_outputs else found
        # The Trainer would go on, and show 0 for it.
        if model.training and not torch.isfinite(loss).all():
            raise InputError(
                f"the loss is {float(loss.detach().mean()):g} in step {self.state.global_step + 1}",
                field=self.phase.name,
                accepted=f"a learning rate below {self.phase.learning_rate:g}, or --precision fp32",
            )
        return found

    def _loss(self, model: Any, inputs: Any, return_outputs: bool) -> Any:
        if self.teacher is None or not model.training:
            return super().compute_loss(model, inputs, return_outputs)
        hidden = self.teacher.weights.hidden > 0
        # accelerate puts the autocast into the forward pass of the model it trains, which the teacher is not.
        with torch.no_grad(), torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.args.bf16):
            wanted = self.teacher.model(**inputs, output_hidden_states=hidden)
        found = model(**inputs, output_hidden_states=hidden)
        loss = distillation_loss(
            found,
            wanted,
            inputs["attention_mask"],
            found.loss,
            self.teacher.weights,
            regression=self.task.regression,
        )
        return (loss, found) if return_outputs else loss


_KEPT = 2
"""Checkpoints of a phase: the last one, and one before it in case that it is incomplete."""


class _Hook(TrainerCallback):
    """Calls an ``AfterStep`` and keeps its state with each checkpoint."""

    def __init__(self, after: AfterStep) -> None:
        self.after = after

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.after.after_step(state.global_step + 1, kwargs["optimizer"].param_groups[0]["lr"])

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_bytes(folder / STATE, save({name: t.cpu().contiguous() for name, t in self.after.state().items()}))
            # Not by transformers, which would take along whatever else has been put into them.
            for old in complete_checkpoints(folder.parent)[:-_KEPT]:
                if str(old) != state.best_model_checkpoint:
                    clear_checkpoint(old)


class _Show(TrainerCallback):
    """A bar while it runs, and a line for every evaluation."""

    def __init__(self, phase: Phase, metric: str) -> None:
        self.phase, self.metric = phase, metric
        self.bar: Progress | None = None
        self.loss = math.nan

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.is_world_process_zero and sys.stdout.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self.bar = Progress(*columns, console=console(), transient=True)
            self.bar.add_task(self.phase.name, total=state.max_steps, completed=state.global_step)
            self.bar.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.bar:
            self.bar.update(self.bar.task_ids[0], completed=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        self.loss = float((logs or {}).get("loss", self.loss))

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        metrics: dict[str, float] = kwargs["metrics"]
        if state.is_world_process_zero and state.epoch:
            console().print(
                f"  {self.phase.name} epoch {state.epoch:.3g} of {self.phase.epochs:.3g}: loss {self.loss:.4f},"
                f" {self.metric} {metrics.get(f'eval_{self.metric}', math.nan):.2f}",
                highlight=False,
            )

    def stop(self) -> None:
        """Take the bar away, which has hidden the cursor."""
        if self.bar:
            self.bar.stop()


def make_trainer(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    phase: Phase,
    folder: Path,
    *,
    train: Any,
    validation: Any = None,
    after: AfterStep | None = None,
    teacher: Teacher | None = None,
) -> _PruningTrainer:
    """A Trainer for one phase; checkpoints go to ``folder``."""
    logging.getLogger("transformers.trainer").setLevel(logging.ERROR)
    metric = task.metrics[0].value
    stopping = phase.patience > 0
    processes = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
    steps = phase_steps(phase, len(train), processes)
    epoch_steps = steps_per_epoch(len(train), phase.batch_size, processes)
    save_steps = phase.save_steps or (MOST_STEPS if epoch_steps > MOST_STEPS else None)
    by_steps = save_steps is not None and not stopping
    arguments = TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=phase.epochs,
        learning_rate=phase.learning_rate,
        per_device_train_batch_size=phase.batch_size,
        per_device_eval_batch_size=2 * phase.batch_size,
        weight_decay=phase.weight_decay,
        warmup_steps=warmup_steps(steps),
        seed=phase.seed,
        bf16=phase.bf16,
        use_cpu=not torch.cuda.is_available(),
        eval_strategy="epoch" if validation is not None else "no",
        save_strategy="steps" if by_steps else "epoch",
        save_steps=save_steps or MOST_STEPS,
        load_best_model_at_end=stopping,
        metric_for_best_model=metric if stopping else None,
        greater_is_better=True if stopping else None,
        logging_strategy="epoch",
        disable_tqdm=True,
        report_to="none",
        dataloader_pin_memory=torch.cuda.is_available(),
        ddp_find_unused_parameters=False,
    )
    callbacks: list[TrainerCallback] = [_Hook(after or Nothing()), _Show(phase, metric)]
    if stopping:
        callbacks.append(EarlyStoppingCallback(phase.patience))
    trainer = _PruningTrainer(
        task=task,
        phase=phase,
        teacher=teacher,
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=validation,
        data_collator=collator(tokenizer),
        processing_class=tokenizer,
        compute_metrics=lambda found: score(
            task, _logits(found.predictions), np.asarray(found.label_ids), f"the model in training ({phase.name})"
        ),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _logits(predictions: Any) -> np.ndarray:
    return np.asarray(predictions[0] if isinstance(predictions, tuple) else predictions)


def last_checkpoint(folder: Path) -> Path | None:
    """The latest complete checkpoint of a phase; incomplete ones are removed."""
    complete = complete_checkpoints(folder)
    for path in folder.glob("checkpoint-*"):
        if path not in complete:
            clear_checkpoint(path)
    return complete[-1] if complete else None


def run_phase(trainer: _PruningTrainer, after: AfterStep, folder: Path) -> None:
    """Train, going on from the phase's last complete checkpoint where there is one.

    Whatever the training's precision, the model computes in its own afterwards.
    """
    with trainer.args.main_process_first(desc="looking for a checkpoint"):
        checkpoint = last_checkpoint(folder)
    if checkpoint is not None:
        after.load(load_file(checkpoint / STATE))
        if trainer.is_world_process_zero():
            say(f"  going on from {checkpoint}")
    try:
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    finally:  # also where it is stopped by hand
        for callback in trainer.callback_handler.callbacks:
            if isinstance(callback, _Show):
                callback.stop()
    # accelerate has put the autocast into the model itself, as a `forward` of its own that hides the class's.
    for attribute in ("forward", "_original_forward"):
        vars(trainer.model).pop(attribute, None)
