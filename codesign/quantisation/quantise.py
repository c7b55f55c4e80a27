"""The quantise step: from a finished pruning run to a design folder."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import disable_progress_bars
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor
from transformers.utils import logging as transformers_logging

from codesign import __version__
from codesign.boards import Board
from codesign.checksums import CHECKSUM, FILES, content_hash, file_hash, sealed
from codesign.design.content import Design, pack_constants
from codesign.design.document import (
    DESIGN,
    FORMAT,
    IMAGES,
    SENTENCES,
    WEIGHTS,
    DesignDocument,
    DesignLayer,
    DesignPrediction,
    Quantisation,
)
from codesign.errors import InputError
from codesign.files import disk_reason, is_disk_error, to_json, to_yaml
from codesign.hardware.predict import LayerPlan
from codesign.outputs import DESIGN as DESIGN_OUTPUT
from codesign.outputs import Output, amend, claim
from codesign.packing.blocks import pack
from codesign.packing.images import MANIFEST, Manifest, make_images, write_images
from codesign.planning import PlanDocument, plan_document
from codesign.planning.plan import make_plan
from codesign.planning.work import Budget, BudgetKind, Work
from codesign.program.document import PROGRAM, program_text
from codesign.program.sentence import program_of
from codesign.pruning.budget import Hardware
from codesign.pruning.finished import FinishedRun, read_run
from codesign.pruning.padding import collator
from codesign.pruning.training import Phase, use_bf16
from codesign.pruning.units import restore_, standardise_
from codesign.quantisation.classifier import IntegerClassifier
from codesign.quantisation.encoder import constants, stored
from codesign.quantisation.fold import Quantised, fold
from codesign.quantisation.grids import MATRICES, choose_grids, decibels
from codesign.quantisation.observe import observe
from codesign.quantisation.ranges import RangeChoice
from codesign.quantisation.training import row_scales, train_rounded
from codesign.report.console import say, say_left, tracked
from codesign.seeds import check_seed
from codesign.tasks.data import drawn, tokenised
from codesign.tasks.evaluate import Agreement, Scores, agreement, batches, predict, scores_of, scores_text
from codesign.tasks.values import unit_of

_NOISE_SENTENCES = 64
"""Sentences that the noise of the layers is measured on: the first of the evaluation split."""


@dataclass(frozen=True)
class Choices:
    """How a model is made integer.

    Attributes:
        weight_bits: 8 or 4; None for the plan's.
        ranges: How activation ranges are chosen.
        calibration: Training sentences that they are chosen on.
        epochs: Of quantisation-aware fine-tuning; None: 3 for int4, 0 for int8.
        learning_rate: Of that.
        batch_size: Sentences per step of that.
        precision: ``auto``, ``bf16`` or ``fp32``, of that.
        seed: Of everything drawn.
    """

    weight_bits: int | None = None
    ranges: RangeChoice = RangeChoice.MSE
    calibration: int = 512
    epochs: float | None = None
    learning_rate: float = 5e-5
    batch_size: int = 32
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, good, accepted in (
            ("weight_bits", self.weight_bits in (None, 8, 4), "8 or 4"),
            ("calibration", 1 <= self.calibration <= 1 << 20, "1 to 1048576"),
            ("epochs", self.epochs is None or 0 <= self.epochs <= 1000, "0 to 1000"),
            ("learning_rate", 0 < self.learning_rate <= 1, "above 0, at most 1"),
            ("batch_size", 1 <= self.batch_size <= 1 << 16, "1 to 65536"),
            ("precision", self.precision in ("auto", "bf16", "fp32"), "auto, bf16, fp32"),
        ):
            if not good:
                option = "--" + name.replace("_", "-")
                raise InputError("not accepted", field=option, value=getattr(self, name), accepted=accepted)
        check_seed(self.seed)

    def trained_epochs(self, weight_bits: int) -> float:
        """Epochs of fine-tuning for weights of so many bits."""
        return (3.0 if weight_bits < 8 else 0.0) if self.epochs is None else self.epochs


@dataclass(frozen=True)
class Request:
    """What is to be made integer, and where to.

    Attributes:
        run: Folder of a finished pruning run.
        board: Its board.
        output: The design folder.
        data_dir: Where the task's files are now; None for where they were.
        choices: How.
        columns: What their columns are called now; None for what they were called.
        overwrite: Replace a design that is there.
        read: Other files that it is made from: the board.
    """

    run: Path
    board: Board
    output: Path
    data_dir: Path | None = None
    choices: Choices = field(default_factory=Choices)
    columns: Mapping[str, str] | None = None
    overwrite: bool = False
    read: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What was made.

    Attributes:
        document: design.yaml.
        manifest: Of the images.
        scores: Of the pruned float model, and of the integer model.
        agreement: Of the two, on the split that ``metric`` names.
        metric: The task's first.
        seconds: Wall time.
    """

    document: DesignDocument
    manifest: Manifest
    scores: tuple[Scores, Scores]
    agreement: Agreement
    metric: tuple[str, str]
    seconds: float


def quantise(request: Request) -> Outcome:
    """Make the design folder of a pruned model.

    Raises:
        InputError: Of anything wrong in what was given; of a disk that is full.
    """
    inputs = [request.run, *request.read, *([request.data_dir] if request.data_dir else [])]
    try:
        with claim(request.output, DESIGN_OUTPUT, inputs=inputs, overwrite=request.overwrite) as output:
            return _quantise(request, output)
    except InputError:
        raise
    except Exception as error:
        if is_disk_error(error):
            raise InputError(f"cannot be written: {disk_reason(error)}", file=request.output) from error
        raise


def _quantise(request: Request, output: Output) -> Outcome:
    began = time.time()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    disable_progress_bars()
    choices = request.choices
    run = read_run(request.run, request.data_dir, request.columns)
    if FILES not in run.metrics:
        say("an older version wrote this run, without hashes: whether its files have been changed is not known")
    bits = choices.weight_bits or run.plan.accelerator.weight_bits
    hardware = Hardware(_plan(run, request.board, bits), request.board)
    # The training sentences are those that the run was limited to.
    train = drawn(run.data.splits["train"], run.metrics.get("settings", {}).get("limit"), int(run.metrics["seed"]))
    splits = {**run.data.splits, "train": train}
    datasets = {name: tokenised(part, run.start.tokenizer, run.plan.tokens) for name, part in splits.items()}
    padded = collator(run.start.tokenizer)
    model, shape = run.start.model.eval(), run.start.shape

    order = torch.randperm(len(datasets["train"]), generator=torch.Generator().manual_seed(choices.seed))
    calibration = list(batches(datasets["train"].select(order[: choices.calibration].tolist()), padded, 32))

    say(f"{run.plan.model} on {run.data.task.name}: int{bits} weights, {choices.ranges} ranges")
    for note in run.start.notes:
        say(note)
    evaluating = time.time()
    in_float = predict(lambda batch: model(**batch).logits, run.data.task, datasets, padded, tracked("float"))
    float_scores = scores_of(run.data.task, in_float, f"{run.plan.model}, pruned, in float")
    float_seconds = time.time() - evaluating
    say(f"float: {scores_text(float_scores)}")
    say(f"calibrating on {min(choices.calibration, len(datasets['train']))} training sentences")
    shown = tracked("calibration")
    observed = observe(model, shape, calibration, seed=choices.seed, shown=shown)
    grids, last = choose_grids(model, shape, observed, bits, choices.ranges)
    rows = None
    epochs = choices.trained_epochs(bits)
    if epochs:
        bf16, why = use_bf16(choices.precision)
        say(f"fine-tuning with rounded weights: {epochs:g} epochs, {'bfloat16' if bf16 else 'float32'} ({why})")
        phase = Phase(
            f"int{bits}",
            epochs,
            choices.learning_rate,
            batch_size=choices.batch_size,
            seed=choices.seed,
            bf16=bf16,
        )
        rows = row_scales(model, shape, grids, bits)
        files = ("plan.yaml", "masks.safetensors", "model.safetensors")
        asked: dict[str, object] = {name: str(value) for name, value in vars(choices).items()}
        asked |= {"weight_bits": bits, **{name: file_hash(request.run / name) for name in files}}
        asked |= {"data": run.data.sha256}
        unit = unit_of(train.labels, run.data.source) if run.data.task.regression else None
        if unit is not None:
            standardise_(model, unit)
        train_rounded(
            run.start,
            run.data.task,
            grids,
            rows,
            run.masks,
            hardware.block,
            bits,
            phase,
            output.scratch,
            asked,
            datasets,
        )
        if unit is not None:
            restore_(model, unit)
        observed = observe(model, shape, calibration, seed=choices.seed, shown=shown)
    quantised = fold(model, shape, (grids, last), observed, bits, rows)
    integer = IntegerClassifier(model, shape, quantised.encoder, quantised.scales)
    evaluating = time.time()
    in_integers = predict(integer.logits, run.data.task, datasets, padded, tracked("integer"))
    integer_scores = scores_of(run.data.task, in_integers, f"{run.plan.model}, pruned, in integers")
    agreed = {
        split: agreement(run.data.task, logits, in_integers[split][0], labels)
        for split, (logits, labels) in in_float.items()
    }
    integer_seconds = time.time() - evaluating
    say(f"integer: {scores_text(integer_scores)}")
    held_out = datasets[run.data.task.evaluation[0]]
    noise = _layer_noise(run, integer, padded(held_out.select(range(min(_NOISE_SENTENCES, len(held_out)))).to_list()))

    result: list[tuple[DesignDocument, Manifest]] = []
    seconds = {"all": time.time() - began, "evaluation": {"float": float_seconds, "integer": integer_seconds}}
    metrics = _metrics(run, integer_scores, agreed, seconds)
    sentences = run.start.tokenizer.pad(
        held_out.remove_columns("labels").select(range(min(run.plan.batch, len(held_out)))).to_list(),
        padding="max_length",
        max_length=run.plan.tokens,
        return_tensors="np",
    )

    def fill(folder: Path) -> None:
        result.append(_write(folder, run, hardware, quantised, epochs, noise, choices, metrics, dict(sentences)))

    say_left(output.write(fill))
    # The run's own results have the integer score of its own design, and not of other designs made to compare.
    if request.output.resolve() == (request.run / "design").resolve():
        hashes = {FILES: run.metrics[FILES]} if FILES in run.metrics else {}
        amend(request.run, "metrics.json", to_json(sealed({**metrics, **hashes})).encode())
    split = run.data.task.evaluation[0]
    return Outcome(
        *result[0],
        (float_scores, integer_scores),
        agreed[split],
        (run.data.task.metrics[0].value, split),
        time.time() - began,
    )


def _plan(run: FinishedRun, board: Board, weight_bits: int) -> PlanDocument:
    """The run's plan; for other weights than it was made for, a new one with the same block."""
    plan = run.plan
    if weight_bits == plan.accelerator.weight_bits:
        return plan
    say(f"planning anew for int{weight_bits} weights in the same blocks")
    work = Work(
        plan.shape,
        plan.tokens,
        plan.batch,
        weight_bits,
        plan.granularity,
        plan.accelerator.clock_mhz,
        plan.accelerator.block,
    )
    budget = Budget(BudgetKind.COMPRESSION, plan.compression)
    return plan_document(make_plan(board, work, budget, tracked), plan.seed)


@torch.no_grad()
def _layer_noise(run: FinishedRun, integer: IntegerClassifier, batch: dict[str, Tensor]) -> tuple[float, ...]:
    """Signal to quantisation noise of every layer's output, in dB."""
    present = batch["attention_mask"].bool()
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    wanted = run.start.model(**inputs, output_hidden_states=True).hidden_states[1:]
    return tuple(
        round(decibels(goal[present], goal[present] - found[present]), 1)
        for goal, found in zip(wanted, integer.states(inputs), strict=True)
    )


def _metrics(
    run: FinishedRun, scores: Scores, agreed: dict[str, Agreement], seconds: dict[str, Any]
) -> dict[str, Any]:
    """The run's metrics.json with the integer model's scores."""
    task = run.data.task
    # Without the hashes, which are of the run's own files.
    metrics = {name: value for name, value in run.metrics.items() if name not in (FILES, CHECKSUM)}
    metrics["integer"] = scores[task.evaluation[0]][task.metrics[0].value]
    metrics["all_metrics"] = {**metrics["all_metrics"], "integer": scores}
    metrics["integer_against_float"] = {split: asdict(found) for split, found in agreed.items()}
    metrics["quantise_seconds"] = seconds
    return metrics


def _write(
    folder: Path,
    run: FinishedRun,
    hardware: Hardware,
    quantised: Quantised,
    epochs: float,
    noise: tuple[float, ...],
    choices: Choices,
    metrics: dict[str, Any],
    sentences: dict[str, NDArray[np.int64]],
) -> tuple[DesignDocument, Manifest]:
    """Every file of the design folder."""
    run.start.model.save_pretrained(folder)
    run.start.tokenizer.save_pretrained(folder)
    predicted, resources = hardware.predicted(run.masks), hardware.design(run.masks).resources
    layers = tuple(_layers(hardware.layers(run.masks)))
    # In the narrowest integer type that holds it; the two scales that lead in and out stay float.
    whole = {name: stored(tensor).numpy() for name, tensor in constants(quantised.encoder)}
    scales = {"scales.embedding": quantised.scales[0], "scales.output": quantised.scales[-1]}
    packed = {
        layer.key: pack(whole[f"{layer.key}.weight"].astype(np.int8), hardware.block, run.masks[layer.name].numpy())
        for layer in layers
    }
    tensors = pack_constants({**whole, **{n: t.numpy() for n, t in scales.items()}}, packed)
    (folder / WEIGHTS).write_bytes(save(tensors))
    (folder / SENTENCES).write_bytes(save({name: part.astype(np.int64) for name, part in sentences.items()}))
    (folder / "metrics.json").write_text(to_json(metrics), encoding="utf-8")
    plan = hardware.plan
    document = DesignDocument(
        format=FORMAT,
        codesign=__version__,
        seed=choices.seed,
        board=plan.board,
        part=plan.part,
        model=plan.model,
        shape=plan.shape,
        task=run.data.task.name,
        tokens=plan.tokens,
        batch=plan.batch,
        accelerator=plan.accelerator,
        layers=layers,
        predicted=DesignPrediction(
            cycles=predicted.cycles,
            dense_cycles=predicted.dense_cycles,
            latency_ms=predicted.latency_ms,
            resources=resources,
        ),
        quantisation=Quantisation(
            ranges=choices.ranges.value,
            calibration=choices.calibration,
            trained_epochs=epochs,
            layer_noise_db=noise,
            matrix_noise_db={name: round(value, 1) for name, value in quantised.noise.items()},
        ),
        files={},
        checksum="",
    )
    design = Design(folder, document, tensors)
    program = program_of(plan.accelerator, plan.shape, design.matrices())
    (folder / PROGRAM).write_text(program_text(program), encoding="utf-8")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    manifest = write_images(
        make_images(plan.accelerator, [design.engine_matrix(layer) for layer in layers]), folder / IMAGES
    )
    files.append(folder / IMAGES / MANIFEST)  # which has the hashes of the images
    hashes = {path.relative_to(folder).as_posix(): file_hash(path) for path in files}
    document = document.model_copy(update={"files": hashes})
    document = document.model_copy(update={CHECKSUM: content_hash(document.model_dump(mode="json"))})
    header = "# A design: what the hardware of a pruned, quantised model is. Written by `codesign quantize`.\n"
    (folder / DESIGN).write_text(header + to_yaml(document.model_dump(mode="json")), encoding="utf-8")
    return document, manifest


def _layers(predicted: Sequence[LayerPlan]) -> Iterator[DesignLayer]:
    for number, layer in enumerate(predicted):
        encoder_layer, part = divmod(number, len(MATRICES))
        yield DesignLayer(
            name=layer.name,
            key=f"layers.{encoder_layer}.{MATRICES[part]}",
            out_features=layer.out_features,
            in_features=layer.in_features,
            blocks=layer.blocks,
            nonzero_blocks=layer.nonzero_blocks,
            predicted_cycles=layer.predicted_cycles,
            weight_memory=layer.weight_memory,
            activation=MATRICES[part] == "ffn_in",
        )
