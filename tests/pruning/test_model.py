"""Models as they are loaded: heads, tokenizers, lengths and weights that do not fit the task or the encoder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    BertForMultipleChoice,
    BertForPreTraining,
    RobertaForTokenClassification,
)

from codesign.checksums import CHECKSUM, FILES, file_hash, sealed
from codesign.errors import InputError
from codesign.pruning.model import Classifier, load_classifier
from codesign.tasks.task import GLUE, OWN, Task, settled
from tests.conftest import Outcome
from tests.pruning import tiny

Run = Callable[..., Outcome]
SST2, RTE, MNLI, STSB = (GLUE[name] for name in ("sst2", "rte", "mnli", "stsb"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for family in ("bert", "roberta", "distilbert"):
        tiny.make(family, folder, head=True)
    return folder


@pytest.fixture
def model(made: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of a family's model with another config, and with other weights."""

    def make(
        family: str = "bert", change: Callable[[dict[str, Tensor]], None] | None = None, **config: object
    ) -> Path:
        folder = tmp_path / family
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(made / family, folder)
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))
        if change:
            tensors = load_file(folder / "model.safetensors")
            change(tensors)
            save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return folder

    return make


def outputs(count: int) -> Callable[[dict[str, Tensor]], None]:
    """A head of so many outputs, row r made of r + 1."""

    def change(tensors: dict[str, Tensor]) -> None:
        for name in [name for name in tensors if name.rpartition(".")[0] in ("classifier", "classifier.out_proj")]:
            if tensors[name].shape[0] == 2:
                rows = torch.arange(1.0, count + 1)
                tensors[name] = rows if tensors[name].dim() == 1 else rows[:, None].expand(-1, 32).contiguous()

    return change


def rows_of(start: Classifier) -> list[float]:
    last = [m for m in start.model.modules() if isinstance(m, torch.nn.Linear)][-1]
    assert last.weight[:, 0].tolist() == last.bias.tolist()
    return last.bias.tolist()


def named(*names: str) -> dict[str, object]:
    return {
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
    }


def refusal(folder: Path, task: Task = SST2, tokens: int = 32) -> str:
    with pytest.raises(InputError) as caught:
        load_classifier(folder, task, tokens, 0)
    return str(caught.value)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
@pytest.mark.parametrize("task", [task for task in GLUE.values() if task.labels], ids=lambda task: task.name)
def test_a_head_of_another_order_is_put_into_the_task_s(model, task: Task, family: str) -> None:
    count = len(task.labels)
    names = [label.upper().replace("_", " ") for label in reversed(task.labels)]
    start = load_classifier(model(family, outputs(count), **named(*names)), task, 32, 0)
    assert start.fine_tuned
    assert start.reordered
    assert rows_of(start) == [float(number) for number in range(count, 0, -1)]
    assert start.model.config.id2label == dict(enumerate(task.labels))
    assert start.model.config.label2id == {label: number for number, label in enumerate(task.labels)}
    assert start.notes == (f"the head's classes {', '.join(names)} are put into the task's order",)


def test_a_head_without_names_or_with_the_task_s_stays(model) -> None:
    for names in ({}, named("LABEL_0", "LABEL_1"), named("Negative", "POSITIVE")):
        start = load_classifier(model("bert", outputs(2), **names), SST2, 32, 0)
        assert start.fine_tuned
        assert not start.reordered
        assert rows_of(start) == [1.0, 2.0]
        assert start.model.config.id2label == {0: "negative", 1: "positive"}
        assert start.notes == ()


def test_classes_of_own_files(model) -> None:
    task = settled(OWN["classification"], labels=("bad", "good", "so so"), pair=False)
    start = load_classifier(model("bert", outputs(3), **named("so-so", "GOOD", "Bad")), task, 32, 0)
    assert rows_of(start) == [3.0, 2.0, 1.0]


@pytest.mark.parametrize(
    ("task", "count", "config", "had"),
    [
        (SST2, 2, named("neg", "pos"), "the classes neg, pos, the task the classes negative, positive"),
        (SST2, 1, named("toxic"), "the classes toxic, the task the classes negative, positive"),
        (SST2, 3, named("a", "b", "c"), "the classes a, b, c, the task"),
        (SST2, 2, {"problem_type": "multi_label_classification"}, "problem_type multi_label_classification"),
        (SST2, 2, {"problem_type": "regression"}, "problem_type regression, the task the classes"),
        (STSB, 1, named("toxic") | {"problem_type": "multi_label_classification"}, "the task one value"),
        (STSB, 2, {}, "the classes LABEL_0, LABEL_1, the task one value"),
        (STSB, 1, named("x") | {"architectures": ["BertForMultipleChoice"]}, "architecture BertForMultipleChoice"),
        (SST2, 2, {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 1, "b": 0}}, "contradict each other"),
    ],
)
def test_a_head_of_something_else_is_not_taken(model, task: Task, count: int, config: dict, had: str) -> None:
    start = load_classifier(model("bert", outputs(count), **config), task, 32, 0)
    assert not start.fine_tuned
    assert start.notes[0].startswith("the head is not taken as fine-tuned: it has ")
    assert had in start.notes[0]
    output = start.model.classifier
    assert output.weight.detach().std() == pytest.approx(0.02, rel=0.3)  # a new one, as transformers makes it
    assert not output.bias.any()
    if task.labels:
        assert start.model.config.id2label == dict(enumerate(task.labels))


def test_heads_of_other_models_are_not_taken(made: Path, model) -> None:
    folder = model("bert")
    config = AutoModelForSequenceClassification.from_pretrained(folder).config
    BertForMultipleChoice(config).save_pretrained(folder)
    assert not load_classifier(folder, STSB, 32, 0).fine_tuned
    BertForPreTraining(config).save_pretrained(folder)
    start = load_classifier(folder, SST2, 32, 0)
    assert not start.fine_tuned
    (note,) = start.notes
    assert note.startswith(f"7 tensors of {folder} are not used, the first cls.predictions.bias")
    folder = model("roberta")
    config = AutoModelForSequenceClassification.from_pretrained(folder).config
    RobertaForTokenClassification(config).save_pretrained(folder)
    assert not load_classifier(folder, SST2, 32, 0).fine_tuned


def test_a_value_s_head_is_taken(model) -> None:
    for config in ({}, named("LABEL_0"), named("score") | {"problem_type": "regression"}):
        assert load_classifier(model("bert", outputs(1), **config), STSB, 32, 0).fine_tuned


def test_outputs_that_a_config_asks_for_beside_the_logits_are_not_given(model) -> None:
    folder = model("bert", return_dict=False, output_hidden_states=True, output_attentions=True)
    start = load_classifier(folder, SST2, 32, 0)
    found = start.model(**start.tokenizer("the key", return_tensors="pt"))
    assert list(found) == ["logits"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"is_decoder": True},
            "config.json: is_decoder: changes what the encoder computes (got True); accepted: false",
        ),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type: changes what the encoder computes"),
        ({"hidden_act": "prelu"}, "hidden_act: changes what the encoder computes (got 'prelu'); accepted: gelu, "),
        ({"layer_norm_eps": -1e-5}, "layer_norm_eps: not LayerNorm's ε (got -1e-05); accepted: 0 to 1"),
    ],
)
def test_other_encoders_are_refused_by_the_config(model, config: dict, message: str) -> None:
    assert message in refusal(model("bert", **config))


def test_weights_that_have_no_place_are_refused_in_the_encoder(model) -> None:
    def more(name: str) -> Callable[[dict[str, Tensor]], None]:
        return lambda tensors: tensors.update({name: torch.zeros(3, 16)})

    distances = "bert.encoder.layer.0.attention.self.distance_embedding.weight"
    line = refusal(model("bert", more(distances)))
    assert (
        f"no place for weights of the file, 1 tensors, the first {distances}; accepted: the weights of a plain"
        in line
    )

    def without_prefix(tensors: dict[str, Tensor]) -> None:
        for name in list(tensors):
            tensors[name.removeprefix("bert.")] = tensors.pop(name)
        more(distances.removeprefix("bert."))(tensors)

    assert "1 tensors, the first encoder.layer.0.attention.self.distance_embedding" in refusal(
        model("bert", without_prefix)
    )
    assert "16 tensors, the first bert.encoder.layer.1." in refusal(model("bert", num_hidden_layers=1))
    assert "the first bert.embeddings.rotary" in refusal(model("bert", more("bert.embeddings.rotary")))
    start = load_classifier(model("bert", more("qa_outputs.weight")), SST2, 32, 0)
    assert start.fine_tuned
    assert "1 tensors of" in start.notes[0]
    assert start.notes[0].endswith("are not used, the first qa_outputs.weight")


def test_old_files_with_positions_as_a_tensor_are_taken(model) -> None:
    def old(tensors: dict[str, Tensor]) -> None:
        tensors["bert.embeddings.position_ids"] = torch.arange(128)[None]

    assert load_classifier(model("bert", old), SST2, 32, 0).notes == ()


def test_a_folder_without_a_tokenizer(codesign: Run, model, made: Path, tmp_path: Path) -> None:
    folder = model("bert")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    line = refusal(folder)
    assert "bert: there is no tokenizer here, or one without any word; accepted: tokenizer.json, or vocab.txt" in line
    told = codesign(*tiny.arguments(folder, tmp_path / "out", "--data-dir", made / "data"))
    assert told.code == 2
    assert "there is no tokenizer here" in told.err
    assert not (tmp_path / "out").exists()


def test_tokenizers_that_do_not_fit(model) -> None:
    def with_config(folder: Path, **changes: object) -> Path:
        path = folder / "tokenizer_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        return folder

    def unpadded(folder: Path) -> Path:
        return with_config(folder, pad_token=None)

    assert "bert: pad_token: the tokenizer has none" in refusal(unpadded(model("bert")))
    assert "padding_side: the first token decides (got 'left'); accepted: right" in refusal(
        with_config(model("bert"), padding_side="left")
    )
    for length in ("512", 0, True):
        line = refusal(with_config(model("bert"), model_max_length=length))
        assert f"tokenizer_config.json: model_max_length: not a number of tokens (got {length!r})" in line
    line = refusal(model("roberta", pad_token_id=1))
    assert (
        "pad_token_id: positions count what is not padding; the tokenizer pads with 0, the model knows (got 1)"
        in line
    )
    assert "pad_token_id: positions begin after it (got 'null'); accepted: 0 or more" in refusal(
        model("roberta", pad_token_id=None)
    )


def test_what_is_wrong_in_a_config_is_not_blamed_on_the_tokenizer(model) -> None:
    """And is told whole, where transformers says it in several lines."""
    line = refusal(model("bert", hidden_dropout_prob="much"))
    assert line.startswith("--model: config.json cannot be taken: Validation error for field 'hidden_dropout_prob': ")
    assert "'much'" in line
    folder = model("bert")
    (folder / "tokenizer.json").unlink()
    line = refusal(folder)
    assert line.startswith("--model: the tokenizer cannot be loaded: Couldn't instantiate the backend tokenizer from")
    assert "(1)" in line


def one_type(family: str) -> Callable[[dict[str, Tensor]], None]:
    def change(tensors: dict[str, Tensor]) -> None:
        name = f"{family}.embeddings.token_type_embeddings.weight"
        tensors[name] = tensors[name][:1].contiguous()

    return change


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_a_pair_needs_two_token_types_where_the_tokenizer_gives_them(model, family: str) -> None:
    folder = model(family, one_type(family), type_vocab_size=1)
    line = refusal(folder, RTE)
    assert "type_vocab_size: the tokenizer gives a pair token types up to 1 (got 1); accepted: 2 or more" in line
    assert load_classifier(folder, SST2, 32, 0).fine_tuned
    load_classifier(model("distilbert"), RTE, 32, 0)  # has none and needs none


def positions(family: str, count: int) -> Callable[[dict[str, Tensor]], None]:
    def change(tensors: dict[str, Tensor]) -> None:
        name = f"{family}.embeddings.position_embeddings.weight"
        tensors[name] = tensors[name][:count].contiguous()

    return change


@pytest.mark.parametrize(
    ("family", "padding", "most"), [("bert", 0, 50), ("distilbert", 0, 50), ("roberta", 0, 49), ("roberta", 1, 48)]
)
def test_sentences_as_long_as_there_are_positions(
    codesign: Run, model, made: Path, tmp_path: Path, family: str, padding: int, most: int
) -> None:
    folder = model(family, positions(family, 50), max_position_embeddings=50, pad_token_id=padding)
    if padding:  # the tokenizer's, too: the first two tokens change places
        path = folder / "tokenizer.json"
        content = json.loads(path.read_text())
        vocabulary = content["model"]["vocab"]
        vocabulary["[PAD]"], vocabulary["[UNK]"] = 1, 0
        for token in content["added_tokens"]:
            token["id"] = vocabulary[token["content"]]
        path.write_text(json.dumps(content))
    start = load_classifier(folder, SST2, most, 0)
    assert start.tokenizer.pad_token_id == padding
    text = " ".join(["the"] * 99)
    batch = start.tokenizer(text, truncation=True, max_length=most, return_tensors="pt")
    assert batch["input_ids"].shape == (1, most)
    assert torch.isfinite(start.model(**batch).logits).all()
    message = f"--tokens: the model takes at most {most} tokens (got {most + 1})"
    assert f"{message}; accepted: 3 to {most}" in refusal(folder, SST2, most + 1)
    told = codesign("plan", "--board", "zcu104", "--model", folder, "--tokens", most + 1, "-o", tmp_path / "plan")
    assert (told.code, message in told.err) == (2, True)
    given = tiny.arguments(folder, tmp_path / "out", "--data-dir", made / "data", "--tokens", most)
    if padding == 0:
        given += ["--dense-epochs", 0, "--sparse-epochs", 0, "--retrain-epochs", 0, "--rounds", 1]
        given += ["--importance", "norm"]
        long = tmp_path / "long"
        long.mkdir()
        for name in ("train", "dev"):
            (long / f"{name}.tsv").write_text(f"sentence\tlabel\n{text}\t0\nthe key\t1\n")
        given += ["--data-dir", long]
        told = codesign(*given)  # its batches would be padded to 56
        assert told.code == 0, told.err


@pytest.mark.parametrize(("task", "least"), [(SST2, 3), (RTE, 5)])
def test_the_least_number_of_tokens(model, task: Task, least: int) -> None:
    """What the tokenizer itself makes of it: from there on, no sentence is longer."""
    folder = model("bert")
    for tokens in (1, 2, least - 1):
        words = "a pair of words takes" if task.pair else "a word takes"
        assert (
            f"--tokens: with its special tokens {words} {least} (got {tokens}); accepted: {least} to 128"
            in refusal(folder, task, tokens)
        )
    tokenizer = load_classifier(folder, task, least, 0).tokenizer
    text = ["the key near the box"] * (2 if task.pair else 1)
    for tokens in range(least, least + 4):
        assert len(tokenizer(*text, truncation=True, max_length=tokens)["input_ids"]) == tokens


BRIEF = ("--dense-epochs", 0, "--sparse-epochs", 0, "--retrain-epochs", 0, "--rounds", 1, "--importance", "norm")


def swapped(tensors: dict[str, Tensor]) -> None:
    for name in ("classifier.weight", "classifier.bias"):
        tensors[name] = tensors[name].flip(0).contiguous()


def reseal(run: Path) -> None:
    """A run with its hashes as though it had been written so."""
    metrics = json.loads((run / "metrics.json").read_text())
    files = {name: file_hash(run / name) for name in metrics[FILES]}
    (run / "metrics.json").write_text(json.dumps(sealed(metrics | {FILES: files})))


def test_a_swapped_head_scores_as_the_other_and_its_run_reads_so(
    codesign: Run, model, made: Path, tmp_path: Path
) -> None:
    """Nothing is trained: one and the same model, its two outputs in either order."""

    def scores(folder: Path, name: str) -> dict[str, float]:
        told = codesign(*tiny.arguments(folder, tmp_path / name, "--data-dir", made / "data", *BRIEF))
        assert told.code == 0, told.err
        if name == "swapped":
            assert "the head's classes positive, negative are put into the task's order" in told.out
        return json.loads((tmp_path / name / "metrics.json").read_text())["all_metrics"]

    def integer(name: str) -> float:
        told = codesign("quantize", tmp_path / name, "-o", tmp_path / "design", "--calibration", 16, "--overwrite")
        assert told.code == 0, told.err
        return json.loads((tmp_path / "design" / "metrics.json").read_text())["all_metrics"]["integer"]

    def unlike(tensors: dict[str, Tensor]) -> None:
        tensors["classifier.bias"] = torch.tensor([0.3, 0.0])

    plain = scores(model("bert", unlike, **named("negative", "positive")), "plain")
    assert plain["dense"]["validation"]["accuracy"] != 50
    both = model("bert", lambda tensors: (unlike(tensors), swapped(tensors)), **named("positive", "negative"))
    assert scores(both, "swapped") == plain
    config = json.loads((tmp_path / "swapped" / "config.json").read_text())
    assert config["id2label"] == {"0": "negative", "1": "positive"}
    assert config["label2id"] == {"negative": 0, "positive": 1}
    wanted = integer("plain")
    assert integer("swapped") == wanted

    # A run whose head someone has turned round, with its names: what the names say holds.
    run = tmp_path / "plain"
    tensors = load_file(run / "model.safetensors")
    swapped(tensors)
    save_file(tensors, run / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | named("positive", "negative")))
    reseal(run)
    assert integer("plain") == wanted
    # A run of an older version, which left names as they had been: nothing says which order holds.
    metrics = json.loads((run / "metrics.json").read_text())
    for later in ("labels", FILES, CHECKSUM):
        metrics.pop(later)
    (run / "metrics.json").write_text(json.dumps(metrics))
    told = codesign("quantize", run, "-o", tmp_path / "other")
    assert told.code == 2
    assert "config.json: id2label: an older version wrote this" in told.err
    (run / "config.json").write_text(json.dumps(config | named("neg", "pos")))
    told = codesign("quantize", run, "-o", tmp_path / "other")
    assert told.code == 2
    assert "no classification head of the task: the head is not taken as fine-tuned: it has the classes neg, pos" in (
        told.err
    )
    assert not (tmp_path / "other").exists()


def test_models_that_are_no_plain_encoder_leave_nothing(codesign: Run, model, made: Path, tmp_path: Path) -> None:
    for config, message in (
        ({"is_decoder": True}, "is_decoder: changes what the encoder computes"),
        ({"position_embedding_type": "relative_key_query"}, "position_embedding_type: changes what the encoder"),
    ):
        folder = model("bert", **config)
        for command in (
            tiny.arguments(folder, tmp_path / "out", "--data-dir", made / "data"),
            ["plan", "--board", "zcu104", "--model", folder, "-o", tmp_path / "out"],
        ):
            told = codesign(*command)
            assert told.code == 2
            assert message in told.err

    def loud(tensors: dict[str, Tensor]) -> None:
        tensors["bert.encoder.layer.1.attention.self.query.weight"].fill_(3e38)

    told = codesign(*tiny.arguments(model("bert", loud), tmp_path / "out", "--data-dir", made / "data"))
    assert told.code == 2
    assert "bert: layer 1, query: NaN or infinite results from finite weights; accepted: a model" in told.err
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_no_plain_encoder_is_not_made_integer(
    codesign: Run, pruned: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.models.bert.modeling_bert import BertSelfAttention

    run = tmp_path / "run"
    shutil.copytree(pruned("bert"), run)
    plain = BertSelfAttention.__init__

    def other(self: BertSelfAttention, *given: object, **named: object) -> None:
        plain(self, *given, **named)
        self.scaling *= 0.9

    monkeypatch.setattr(BertSelfAttention, "__init__", other)
    told = codesign("quantize", run, "-o", tmp_path / "design")
    assert told.code == 2
    assert "run: layer 0, attention: transformers computes something else than the integer model would" in told.err
    assert not (tmp_path / "design").exists()


@pytest.mark.parametrize(
    ("tokens", "message"), [(2, "a word takes 3 (got 2)"), (129, "at most 128 tokens (got 129)")]
)
def test_the_embedded_default_has_its_limits_too(codesign: Run, tmp_path: Path, tokens: int, message: str) -> None:
    told = codesign("prune", "--board", "zcu104", "--tokens", tokens, "-o", tmp_path / "out")
    assert told.code == 2
    assert message in told.err
    assert not (tmp_path / "out").exists()


def test_a_word_that_breaks_the_model_stops_the_score(codesign: Run, model, made: Path, tmp_path: Path) -> None:
    """One that the sentences compared before training have not: the score says which model, where, on how many."""
    from transformers import AutoTokenizer

    rows = [line.split("\t")[0] for line in (made / "data" / "dev.tsv").read_text().splitlines()[1:]]
    tokenizer = AutoTokenizer.from_pretrained(made / "bert")
    ids = tokenizer(rows)["input_ids"]
    order = sorted(range(len(rows)), key=lambda row: len(ids[row]))
    looked_at = {token for row in (order[0], order[len(rows) // 2], order[-1]) for token in ids[row]}
    looked_at |= set(tokenizer(" ".join(rows[:8]))["input_ids"])  # the longest one, of the first sentences
    number = max({token for row in ids for token in row} - looked_at)
    hit = sum(number in row for row in ids)

    def broken(tensors: dict[str, Tensor]) -> None:
        tensors["bert.embeddings.word_embeddings.weight"][number] = 3e38

    told = codesign(*tiny.arguments(model("bert", broken), tmp_path / "out", "--data-dir", made / "data", *BRIEF))
    assert told.code == 2
    assert f"bert, dense (validation): gives NaN or infinite logits on {hit} of 64 sentences of task sst2" in told.err
    assert not (tmp_path / "out" / "metrics.json").exists()
