"""Whole runs on tiny models: what is left in the folder, for every family, method and budget; bad input."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from codesign.boards import load_board
from codesign.hardware import run
from codesign.hardware.accelerator import sparse_matrix
from codesign.hardware.predict import predict
from codesign.models import Matrix
from codesign.planning import load_plan
from codesign.program.estimate import beside
from codesign.program.sentence import sentence_times
from tests.conftest import Outcome
from tests.pruning import tiny

Run = Callable[..., Outcome]
FILES = {
    ".codesign.json",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "masks.safetensors",
    "plan.yaml",
    "metrics.json",
    "blocks.png",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for family in ("bert", "roberta", "distilbert"):
        tiny.make(family, folder)
    return folder


def linears(model: nn.Module) -> dict[str, nn.Linear]:
    """The encoder's linear layers by a way of their own: every one below a layer of the encoder."""
    return {
        name.split(".", 1)[1]: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and ".layer." in name
    }


def check_folder(folder: Path, compression: float = 2.0) -> dict[str, object]:
    """What every result must be, from the files alone."""
    assert {p.name for p in folder.iterdir()} == FILES
    metrics = json.loads((folder / "metrics.json").read_text())
    plan = load_plan(folder)
    masks = load_file(folder / "masks.safetensors")
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    modules = linears(model)
    assert set(masks) == set(modules) == {layer["name"] for layer in metrics["layers"]}
    assert len(masks) == 12
    rows, cols = plan.accelerator.block
    total = kept = 0
    sparse = []
    for layer in plan.layers:
        weight, mask = modules[layer.name].weight.detach(), masks[layer.name]
        assert mask.dtype == torch.uint8
        empty = 0
        assert mask.shape == (-(-weight.shape[0] // rows), -(-weight.shape[1] // cols))
        for i in range(mask.shape[0]):
            for j in range(mask.shape[1]):
                part = weight[i * rows : (i + 1) * rows, j * cols : (j + 1) * cols]
                total += part.numel()
                kept += part.numel() * int(mask[i, j])
                assert mask[i, j] or not part.any()
                empty += bool(mask[i, j]) and not part.any()
        # Blocks that the penalty has emptied are worth nothing: only the floor (or the balance) keeps any.
        if metrics["settings"]["balance"] is None:
            assert empty <= math.ceil(metrics["settings"]["floor"] * mask.numel())
        matrix = Matrix(layer.name, *weight.shape, layer.activation)
        sparse.append(sparse_matrix(matrix, rows, cols, mask.sum(dim=1).tolist()))
    # The budget is met, and undershot by less than 0.5 % or one block.
    assert total / kept >= compression
    assert kept > total / compression * 0.995 - rows * cols
    assert metrics["compression"]["encoder"] == pytest.approx(total / kept)
    everything = sum(p.numel() for p in model.parameters())
    assert metrics["compression"]["with_embeddings"] == pytest.approx(everything / (everything - total + kept))
    # What is predicted is a whole sentence, of these masks and of the dense model (tests/simulation counts cycles).
    board = load_board(plan.board)
    placed = predict(plan.accelerator, board, sparse, plan.tokens, beside(plan.accelerator, plan.shape)).layers
    matrices = [
        run.pruned(masks[layer.name].bool().numpy(), layer.weight_memory, activation=layer.activation)
        for layer in placed
    ]
    program, times = sentence_times(plan.accelerator, board, plan.shape, matrices, plan.tokens, plan.batch)
    assert metrics["predicted"]["cycles"] == times.cycles
    spent = {s.matrix: t.ended - t.begun for s, t in zip(program.array, times.array, strict=plan.batch == 1)}
    assert [la["predicted_cycles"] for la in metrics["layers"]] == [spent[n] for n in range(len(placed))]
    assert metrics["predicted_speedup"] == metrics["predicted"]["dense_cycles"] / times.cycles
    for field in ("task", "metric", "dense", "pruned", "integer", "seed", "versions", "seconds"):
        assert field in metrics
    assert (folder / "blocks.png").read_bytes().startswith(b"\x89PNG")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert model(**tokenizer("the key", return_tensors="pt")).logits.shape == (1, 2)
    return metrics


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_every_family(codesign: Run, models: Path, tmp_path: Path, family: str) -> None:
    done = codesign(*tiny.arguments(models / family, tmp_path))
    assert done.code == 0, done.err
    metrics = check_folder(tmp_path)
    assert metrics["task"] == "sst2"
    assert metrics["metric"] == "accuracy"
    assert f"{metrics['dense']:.2f} dense, {metrics['pruned']:.2f} pruned" in done.out
    # What it says of the model is what transformers computes with it.
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    rows = [line.split("\t") for line in (models / "data" / "dev.tsv").read_text().splitlines()[1:]]
    right = 0
    for text, label in rows:
        right += int(model(**tokenizer(text, return_tensors="pt")).logits.argmax()) == int(label)
    assert metrics["pruned"] == pytest.approx(100 * right / len(rows))


@pytest.mark.parametrize(
    "options",
    [
        ("--method", "gradual", "--importance", "norm", "--no-distill"),
        ("--method", "lasso", "--importance", "norm", "--rounds", 1, "--strength", 2),
        ("--method", "magnitude"),
        ("--method", "movement", "--hidden", 0),
        ("--granularity", "column", "--block", "8x1"),
        ("--granularity", "row", "--block", "1x8"),
        ("--balance", 1, "--block", "5x6"),
        ("--patience", 1, "--retrain-epochs", 2, "--sparse-epochs", 0),
        ("--compression", 3, "--block", "7x5"),
    ],
    ids=lambda o: " ".join(map(str, o)),
)
def test_every_choice(codesign: Run, models: Path, tmp_path: Path, options: tuple[object, ...]) -> None:
    done = codesign(*tiny.arguments(models / "bert", tmp_path, *options))
    assert done.code == 0, done.err
    metrics = check_folder(tmp_path, 3.0 if "--compression" in options else 2.0)
    if "--sparse-epochs" in options:
        assert done.out.count("of the blocks stay") == 8  # the rounds do not need training
    if "--balance" in options:
        for layer in metrics["layers"]:
            assert layer["blocks_per_row"]["most"] - layer["blocks_per_row"]["least"] <= 1


def test_a_value_to_predict(codesign: Run, models: Path, tmp_path: Path) -> None:
    rows = [line.rsplit("\t", 1) for line in (models / "data" / "train.tsv").read_text().splitlines()[1:]]
    for name in ("train", "dev"):
        lines = [f"{text}\t{text[::-1][:9]}\t{len(text) / 9:.2f}" for text, _ in rows[:64]]
        (tmp_path / f"{name}.tsv").write_text("\n".join(["sentence1\tsentence2\tlabel", *lines]) + "\n")
    given = tiny.arguments(models / "bert", tmp_path / "out", "--task", "stsb", "--data-dir", tmp_path)
    done = codesign(*given, "--tokens", 64)
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["metric"] == "pearson"
    assert metrics["all_metrics"]["pruned"]["validation"].keys() == {"pearson", "spearman"}
    assert json.loads((tmp_path / "out" / "config.json").read_text())["problem_type"] == "regression"


def test_three_classes_and_two_evaluations(codesign: Run, models: Path, tmp_path: Path) -> None:
    rows = [line.rsplit("\t", 1) for line in (models / "data" / "train.tsv").read_text().splitlines()[1:]]
    names = ("entailment", "neutral", "contradiction")
    for name in ("train", "dev_matched", "dev_mismatched"):
        lines = [f"{text}\t{text[::-1]}\t{names[n % 3]}" for n, (text, _) in enumerate(rows[:64])]
        (tmp_path / f"{name}.tsv").write_text("\n".join(["premise\thypothesis\tlabel", *lines]) + "\n")
    done = codesign(*tiny.arguments(models / "bert", tmp_path / "out", "--task", "MNLI", "--data-dir", tmp_path))
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert list(metrics["all_metrics"]["dense"]) == ["validation_matched", "validation_mismatched"]
    assert metrics["pruned"] == metrics["all_metrics"]["pruned"]["validation_matched"]["accuracy"]
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert list(config["id2label"].values()) == list(names)


def test_a_latency_budget(codesign: Run, models: Path, tmp_path: Path) -> None:
    dense = ("plan", "--board", "zcu104", "--model", models / "bert", "--tokens", 32, "--block", "4x8")
    assert codesign(*dense, "-o", tmp_path / "plan").code == 0
    asked = 0.97 * load_plan(tmp_path / "plan").predicted.latency_ms
    done = codesign(*tiny.arguments(models / "bert", tmp_path / "out", "--latency-ms", asked))
    assert done.code == 0, done.err
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["predicted"]["latency_ms"] <= asked
    # Not a block more than needed: the dearest costs one pass of its tokens.
    plan = load_plan(tmp_path / "out")
    block = -(-plan.tokens // plan.accelerator.lanes) / plan.accelerator.clock_mhz / 1000
    assert metrics["predicted"]["latency_ms"] > asked * 0.995 - block
    assert metrics["compression"]["encoder"] > 1.1


def test_a_fine_tuned_model_is_not_fine_tuned_again(codesign: Run, tmp_path: Path) -> None:
    model = tiny.make("bert", tmp_path, head=True)
    given = tiny.arguments(model, tmp_path / "out")
    at = given.index("--dense-epochs")
    done = codesign(*given[:at], *given[at + 2 :])
    assert done.code == 0, done.err
    assert "dense fine-tuning: none, the model came fine-tuned" in done.out


def test_a_plan_made_before_is_followed(codesign: Run, models: Path, tmp_path: Path) -> None:
    plan = ("plan", "--board", "zcu104", "--model", models / "bert", "--tokens", 32, "--block", "8x8")
    assert codesign(*plan, "--compression", 2.5, "-o", tmp_path / "plan").code == 0
    done = codesign(*tiny.arguments(models / "bert", tmp_path / "out", "--plan", tmp_path / "plan"))
    assert done.code == 0, done.err
    check_folder(tmp_path / "out", 2.5)
    assert load_plan(tmp_path / "out") == load_plan(tmp_path / "plan")


def test_the_same_seed_gives_the_same_model(codesign: Run, models: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert codesign(*tiny.arguments(models / "bert", tmp_path / name, "--seed", 3)).code == 0
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b"))
    assert one == two


def refused(codesign: Run, *arguments: object) -> str:
    told = codesign(*arguments)
    assert told.code == 2, told.out + told.err
    (line,) = told.err.splitlines()
    return line


def test_bad_models_are_refused_in_one_line(codesign: Run, models: Path, tmp_path: Path) -> None:
    unknown = tmp_path / "gpt"
    shutil.copytree(models / "bert", unknown)
    config = json.loads((unknown / "config.json").read_text())
    (unknown / "config.json").write_text(json.dumps(config | {"model_type": "gpt2"}))
    data = ("--data-dir", models / "data")
    line = refused(codesign, *tiny.arguments(unknown, tmp_path / "o", *data))
    assert "model_type: unknown model family (got 'gpt2'); accepted: bert, distilbert, roberta" in line

    foreign = tmp_path / "foreign"
    shutil.copytree(models / "bert", foreign)
    tiny.tiny_model("bert", 9).save_pretrained(foreign)
    line = refused(codesign, *tiny.arguments(foreign, tmp_path / "o", *data))
    assert re.search(r"foreign: the tokenizer has \d+ tokens, the model embeddings for 9", line)

    broken = tmp_path / "nan"
    shutil.copytree(models / "bert", broken)
    tensors = load_file(broken / "model.safetensors")
    name = next(key for key in tensors if key.endswith("0.output.dense.weight"))
    tensors[name][3, 5] = float("nan")
    tensors[name][0, 0] = float("inf")
    from safetensors.torch import save_file

    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    line = refused(codesign, *tiny.arguments(broken, tmp_path / "o", *data))
    assert "output.dense.weight: 2 of 1792 values are NaN or infinite; accepted: finite weights" in line

    cut = tmp_path / "cut"
    shutil.copytree(models / "bert", cut)
    (cut / "model.safetensors").write_bytes((models / "bert" / "model.safetensors").read_bytes()[:1000])
    assert "--model: cannot be loaded" in refused(codesign, *tiny.arguments(cut, tmp_path / "o", *data))

    missing = tmp_path / "missing"
    shutil.copytree(models / "bert", missing)
    del tensors[name]
    save_file(tensors, missing / "model.safetensors", metadata={"format": "pt"})
    line = refused(codesign, *tiny.arguments(missing, tmp_path / "o", *data))
    assert "weights are missing or of another size, 1 tensors" in line
    tensors[name] = torch.zeros(32, 55)
    save_file(tensors, missing / "model.safetensors", metadata={"format": "pt"})
    line = refused(codesign, *tiny.arguments(missing, tmp_path / "o", *data))
    assert "weights are missing or of another size, 1 tensors" in line
    assert not (tmp_path / "o").exists()


BAD = [
    (("--task", "squad"), "--task: unknown task"),
    (("--data-dir", "gone"), "--data-dir: no such folder"),
    (("--method", "magic"), "--method: not accepted (got 'magic'); accepted: lasso, gradual, magnitude, movement"),
    (("--importance", "best"), "--importance: not accepted"),
    (("--block", "4by4"), "--block: not a block shape (got '4by4'); accepted: RxC, such as 16x16"),
    (("--block", "4x0"), "--block: not accepted (got '4x0')"),
    (("--granularity", "column"), "--block: not accepted (got '4x8'); accepted: Rx1 for columns"),
    (("--floor", "1.5"), "--floor: not accepted (got 1.5); accepted: 0 to 1"),
    (("--learning-rate", "0"), "--learning-rate: not accepted"),
    (("--precision", "fp8"), "--precision: not accepted (got 'fp8'); accepted: auto, bf16, fp32"),
    (("--tokens", "200"), "--tokens: the model takes at most 128 tokens (got 200); accepted: 1 to 128"),
    (("--compression", "30"), "the budget cannot be met: best 1"),
    (("--compression", "2", "--floor", "0.9"), "the budget cannot be met: best 1.1"),
    (("--latency-ms", "0.00001"), "zcu104 cannot reach 1e-05 ms"),
    (("--resume",), "nothing to resume here"),
    (("--resume", "--overwrite"), "give --resume or --overwrite, not both"),
    (("--plan", "gone"), "gone: no such file"),
    (("--plan", "gone", "--compression", "2"), "--compression: the plan decides that; accepted: --plan, or --compr"),
    (("--plan", "gone", "--block", "8x8"), "--block: the plan decides that"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[" ".join(b[0]) for b in BAD])
def test_bad_input_is_one_line(
    codesign: Run, models: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    line = refused(codesign, *tiny.arguments(models / "bert", tmp_path / "o", *options))
    assert message in line
    assert not (tmp_path / "o" / "metrics.json").exists()


def test_a_floor_that_the_budget_has_no_room_for_is_found_before_anything(
    codesign: Run, models: Path, tmp_path: Path
) -> None:
    told = codesign(*tiny.arguments(models / "bert", tmp_path / "o", "--floor", 0.9))
    assert told.code == 2
    # Of 4×8 blocks a floor of 1/2 keeps 16 of 32 and 28 of 56 in each matrix: exactly what 2× leaves.
    assert told.err.rstrip().endswith("accepted: a looser budget, or --floor 0.5 or less")
    assert "dense" not in told.out
    assert not (tmp_path / "o").exists()


def test_model_and_task_belong_together(codesign: Run, tmp_path: Path) -> None:
    assert "--task is needed too" in refused(codesign, "prune", "--board", "zcu104", "--model", tmp_path)
    assert "--model is needed too" in refused(codesign, "prune", "--board", "zcu104", "--task", "rte")
    line = refused(codesign, "prune", "--board", "zcu104", "--data-dir", tmp_path)
    assert "the embedded default makes its own data" in line


def test_a_plan_of_another_model_or_board(codesign: Run, models: Path, tmp_path: Path) -> None:
    shape = "hidden=64,layers=2,ffn=56,heads=2"
    assert codesign("plan", "--board", "zcu104", "--shape", shape, "--tokens", 32, "-o", tmp_path / "p").code == 0
    line = refused(codesign, *tiny.arguments(models / "bert", tmp_path / "o", "--plan", tmp_path / "p"))
    assert "shape.hidden: the plan is for hidden = 64, the model bert has (got 32)" in line
    given = tiny.arguments(models / "bert", tmp_path / "o", "--plan", tmp_path / "p")
    given[given.index("zcu104")] = "kv260"
    assert "board: the plan is for another board (got 'zcu104'); accepted: kv260" in refused(codesign, *given)


def test_the_embedded_default(codesign: Run, tmp_path: Path) -> None:
    done = codesign("prune", "--board", "boards/zcu104.yaml", "-o", tmp_path)
    assert done.code == 0, done.err
    assert "No model given: a small BERT is made here" in done.out
    assert "A real run: --model bert-base-uncased --task sst2" in done.out
    assert (tmp_path / "design" / "design.yaml").is_file()
    shutil.rmtree(tmp_path / "design")  # looked at in tests/quantisation
    metrics = check_folder(tmp_path)
    # It has learnt what neither a bag of words nor the first noun tells (test_agreement.py), and pruning leaves it
    # most of that; and it has not learnt all, so that there is something to lose. Sums in other orders, as with other
    # numbers of threads, lead to other weights.
    assert 88 < metrics["dense"] < 99
    assert 86 < metrics["pruned"] < 99
    assert 86 < metrics["integer"] < 99
    assert metrics["predicted_speedup"] > 1.3
