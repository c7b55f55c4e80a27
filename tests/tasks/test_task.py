from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from codesign.errors import InputError
from codesign.models.embedded import embedded_tokenizer
from codesign.tasks import GLUE, OWN, find_task
from codesign.tasks.data import load_data, tokenised
from codesign.tasks.files import Split, read_folder
from codesign.tasks.metrics import score


def write(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def test_the_nine_tasks_of_glue_with_their_official_metrics() -> None:
    # GLUE paper, table 1.
    official = {
        "cola": ["matthews"],
        "sst2": ["accuracy"],
        "mrpc": ["f1", "accuracy"],
        "qqp": ["f1", "accuracy"],
        "stsb": ["pearson", "spearman"],
        "mnli": ["accuracy"],
        "qnli": ["accuracy"],
        "rte": ["accuracy"],
        "wnli": ["accuracy"],
    }
    assert {name: list(task.metrics) for name, task in GLUE.items()} == official
    assert GLUE["mnli"].evaluation == ("validation_matched", "validation_mismatched")
    assert find_task("SST-2") is GLUE["sst2"]
    with pytest.raises(
        InputError, match=r"--task: unknown task \(got 'squad'\); accepted: cola, sst2, .*\(own files\)"
    ):
        find_task("squad")


def test_scores_of_a_hand_worked_example() -> None:
    # True: 1 1 1 0 0; predicted: 1 1 0 1 0. TP 2, FP 1, FN 1, TN 1.
    labels = np.array([1, 1, 1, 0, 0])
    logits = np.eye(2)[[1, 1, 0, 1, 0]]
    assert score(GLUE["mrpc"], logits, labels) == pytest.approx({"f1": 100 * 2 * 2 / (2 * 2 + 1 + 1), "accuracy": 60})
    matthews = (2 * 1 - 1 * 1) / math.sqrt((2 + 1) * (2 + 1) * (1 + 1) * (1 + 1))
    assert score(GLUE["cola"], logits, labels) == pytest.approx({"matthews": 100 * matthews})
    # Ranks 1 2 3 4 against 1 2 4 3: Spearman 1 − 6·(0+0+1+1)/(4·15) = 0.8.
    found = score(GLUE["stsb"], np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([0.0, 1.0, 9.0, 5.0]))
    assert found["spearman"] == pytest.approx(80)
    x, y = np.array([1.0, 2, 3, 4]) - 2.5, np.array([0.0, 1, 9, 5]) - 3.75
    assert found["pearson"] == pytest.approx(100 * (x @ y) / math.sqrt((x @ x) * (y @ y)))


def test_a_constant_prediction_scores_nought() -> None:
    assert score(GLUE["stsb"], np.ones((4, 1)), np.arange(4.0)) == {"pearson": 0.0, "spearman": 0.0}
    # Nor does one that differs by rounding alone, however it happens to fall.
    rounding = np.float32(2.5) + np.arange(4, dtype=np.float32)[:, None] * np.float32(2**-23)
    assert score(GLUE["stsb"], rounding, np.arange(4.0)) == {"pearson": 0.0, "spearman": 0.0}
    assert score(GLUE["stsb"], rounding.astype(np.float64) * 1e3, np.arange(4.0))["pearson"] == 0
    assert score(GLUE["mrpc"], np.eye(2)[[0, 0, 0]], np.array([1, 1, 0]))["f1"] == 0
    assert score(GLUE["cola"], np.eye(2)[[1, 1, 1]], np.array([1, 1, 0])) == {"matthews": 0.0}


@pytest.mark.parametrize("suffix", ["tsv", "csv", "jsonl"])
def test_the_same_rows_from_every_kind_of_file(tmp_path: Path, suffix: str) -> None:
    rows = [('he said "no"', "so, he\u2019d go", 1), ("null", "NA", 0)]
    for stem in ("train", "dev"):
        if suffix == "jsonl":
            lines = [json.dumps({"sentence1": a, "sentence2": b, "label": n}) for a, b, n in rows]
        elif suffix == "tsv":
            lines = ["sentence1\tsentence2\tlabel", *(f"{a}\t{b}\t{n}" for a, b, n in rows)]
        else:
            quoted = [(a.replace('"', '""'), b.replace('"', '""'), n) for a, b, n in rows]
            lines = ["sentence1,sentence2,label", *(f'"{a}","{b}",{n}' for a, b, n in quoted)]
        write(tmp_path, f"{stem}.{suffix}", "\n".join(lines) + "\n")
    splits = read_folder(GLUE["mrpc"], tmp_path).splits
    assert splits.keys() == {"train", "validation"}
    assert splits["train"].sentences == tuple((a, b) for a, b, _ in rows)
    assert splits["train"].labels == (1, 0)


_QNLI = "question\tsentence\tlabel\nwhy ?\tbecause .\tnot_entailment\nwho ?\tme\tentailment\n"


def test_a_sub_folder_of_the_task_s_name_and_the_hub_s_column_names(tmp_path: Path) -> None:
    for stem in ("train", "dev"):
        write(tmp_path / "QNLI", f"{stem}.tsv", _QNLI)
    splits = read_folder(GLUE["qnli"], tmp_path).splits
    assert splits["train"].sentences == (("why ?", "because ."), ("who ?", "me"))
    assert splits["train"].labels == (1, 0)


def test_mnli_has_two_evaluations(tmp_path: Path) -> None:
    for stem in ("train", "dev_matched", "dev_mismatched"):
        write(tmp_path, f"{stem}.tsv", "sentence1\tsentence2\tlabel\na\tb\t2\nb\ta\t0\n")
    assert list(read_folder(GLUE["mnli"], tmp_path).splits) == [
        "train",
        "validation_matched",
        "validation_mismatched",
    ]


def test_own_files_decide_classes_and_sentences(tmp_path: Path) -> None:
    for stem in ("train", "dev"):
        write(tmp_path, f"{stem}.csv", "sentence,label\ngood,pos\nbad,neg\nso so,mid\n")
    read = read_folder(OWN["classification"], tmp_path)
    assert read.task.labels == ("mid", "neg", "pos")
    assert read.task.pair is False
    assert read.splits["train"].labels == (2, 1, 0)
    for stem in ("train", "dev"):
        write(tmp_path / "n", f"{stem}.csv", "sentence1,sentence2,label\na,b,0.5\nc,d,-2\n")
    read = read_folder(OWN["regression"], tmp_path / "n")
    assert read.task.pair is True
    assert read.splits["validation"].labels == (0.5, -2.0)


BAD = [
    (
        "sst2",
        "sentence\tlabel\nx\t7\n",
        r"train\.tsv:2: label: not a label of this task \(got '7'\); accepted: 0 to 1",
    ),
    ("sst2", "sentence\tlabel\nx\t-1\n", r"train\.tsv:2: label: .*\(got '-1'\)"),
    ("sst2", "text\tlabel\nx\t1\n", r"train\.tsv: columns missing, found text, label; accepted: sentence, label"),
    ("sst2", "sentence\tscore\nx\t1\n", r"columns missing, found sentence, score"),
    ("mrpc", "sentence\tlabel\nx\t1\n", r"columns missing.*accepted: sentence1, sentence2, label"),
    ("sst2", "sentence\tlabel\nx\t1\ny\n", r"train\.tsv:3: 1 cells, the header has 2"),
    ("sst2", "sentence\tlabel\n", r"train\.tsv: holds no rows"),
    ("stsb", "sentence1\tsentence2\tlabel\na\tb\tnan\n", r"label: not a number \(got 'nan'\)"),
    ("classification", "sentence\tlabel\na\t0\nb\t2\n", r"labels reach 2, but none is 1"),
    ("classification", "sentence\tlabel\na\t0\nb\t0\n", r"only one class"),
    (
        "sst2",
        "sentence\tlabel\na\t1\nb\t1\n",
        r"train\.tsv: label: only one class \(got '1'\); accepted: two or more",
    ),
    ("sst2", "sentence\tlabel\na\tpositive\n", r"only one class \(got 'positive'\)"),
]


@pytest.mark.parametrize(("task", "text", "message"), BAD, ids=[b[2][:40] for b in BAD])
def test_a_wrong_file_is_named_with_its_row(tmp_path: Path, task: str, text: str, message: str) -> None:
    write(tmp_path, "train.tsv", text)
    write(tmp_path, "dev.tsv", text)
    with pytest.raises(InputError, match=message):
        read_folder(find_task(task), tmp_path)


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--data-dir: no such folder"):
        read_folder(GLUE["rte"], tmp_path / "gone")
    with pytest.raises(InputError, match=r"no train file of task rte; accepted: train\{\.tsv,\.csv,\.jsonl\}"):
        read_folder(GLUE["rte"], tmp_path)
    write(tmp_path, "train.jsonl", "{\n")
    write(tmp_path, "dev.jsonl", "{\n")
    with pytest.raises(InputError, match=r"train\.jsonl:1: not valid JSON"):
        read_folder(GLUE["rte"], tmp_path)


@pytest.mark.parametrize("name", list(GLUE))
def test_the_hub_s_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # As https://huggingface.co/datasets/nyu-mll/glue lists them; the hub itself cannot be reached here.
    hub = {
        "cola": ["sentence"],
        "sst2": ["sentence"],
        "mrpc": ["sentence1", "sentence2"],
        "qqp": ["question1", "question2"],
        "stsb": ["sentence1", "sentence2"],
        "mnli": ["premise", "hypothesis"],
        "qnli": ["question", "sentence"],
        "rte": ["sentence1", "sentence2"],
        "wnli": ["sentence1", "sentence2"],
    }
    splits = ["train", "validation_matched", "validation_mismatched"] if name == "mnli" else ["train", "validation"]

    def load(path: str, config: str) -> dict[str, dict[str, list[object]]]:
        assert (path, config) == ("nyu-mll/glue", name)
        columns: dict[str, list[object]] = {column: [column, "x"] for column in hub[name]}
        return {split: {**columns, "label": [1, 0], "idx": [0, 1]} for split in [*splits, "test"]}

    monkeypatch.setattr("datasets.load_dataset", load)
    data = load_data(GLUE[name], None)
    assert list(data.splits) == splits
    assert data.splits["train"].sentences == (tuple(hub[name]), ("x",) * len(hub[name]))
    assert data.splits["train"].labels == (1, 0)


def test_a_hub_out_of_reach_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(*_: object) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr("datasets.load_dataset", load)
    with pytest.raises(
        InputError, match=r"gave no data \(nyu-mll/glue, rte\): no route \(got 'rte'\); accepted: --data"
    ):
        load_data(GLUE["rte"], None)
    with pytest.raises(InputError, match="task classification needs files"):
        load_data(OWN["classification"], None)


def test_tokens_are_cut_and_labels_kept() -> None:
    tokenizer = embedded_tokenizer(["the old key", "a new door"])
    split = Split((("the old key", "a new door"), ("key", "door")), (1, 0))
    dataset = tokenised(split, tokenizer, tokens=6)
    assert [len(ids) for ids in dataset["input_ids"]] == [6, 5]
    assert dataset["labels"] == [1, 0]
    assert dataset["token_type_ids"][1] == [0, 0, 0, 1, 1]
