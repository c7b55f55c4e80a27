"""What stands in the user's files is what is read, or is refused with file, line, field and value."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from codesign.errors import InputError
from codesign.models.embedded import embedded_tokenizer
from codesign.tasks import GLUE, OWN, find_task
from codesign.tasks.data import TaskData, cut_text, drawn, load_data, tokenised, unknown_text
from codesign.tasks.files import Split, parse_columns, read_folder
from codesign.tasks.values import unit_of


def write(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text.encode())


def labelled(folder: Path, train: list[str], dev: list[str] | None = None) -> Path:
    """Files with these labels."""
    for name, labels in (("train", train), ("dev", train if dev is None else dev)):
        write(folder, f"{name}.tsv", "sentence\tlabel\n" + "".join(f"s{n}\t{x}\n" for n, x in enumerate(labels)))
    return folder


def refusal(folder: Path, task: str = "classification", columns: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        read_folder(find_task(task), folder, parse_columns(columns) if columns else None)
    return str(caught.value)


def test_a_huge_label_takes_no_memory(tmp_path: Path) -> None:
    labelled(tmp_path, ["0", "1", "1000000000"])
    tracemalloc.start()
    told = refusal(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "train.tsv: label: labels reach 1000000000, but none is 2; accepted: 0 to n-1" in told
    assert peak < 5e6
    # One that Python itself would refuse to read as an integer.
    assert "label" in refusal(labelled(tmp_path, ["0", "1", "7" * 5000]))


@pytest.mark.parametrize("task", ["classification", "sst2"])
@pytest.mark.parametrize("empty", ["", " ", "null", "NaN"])
def test_an_empty_label_is_no_class(tmp_path: Path, task: str, empty: str) -> None:
    told = refusal(labelled(tmp_path, ["0", "1", empty, "1"]), task)
    assert "train.tsv:4: label: there is no label" in told
    assert "train.tsv" not in (told := refusal(labelled(tmp_path, ["0", "1"], ["0", empty]), task))
    assert "dev.tsv:3: label: there is no label" in told


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"sentence": "a", "label": null}', "train.jsonl:2: label: there is no label"),
        ('{"sentence": "a"}', "train.jsonl:2: label: this field is missing"),
        ('{"label": "x"}', "train.jsonl:2: sentence: this field is missing"),
        ('{"sentence": null, "label": "x"}', "train.jsonl:2: sentence: not a text"),
        ('{"sentence": "a", "label": ["x"]}', "train.jsonl:2: label: not a text or a number (got ['x'])"),
        ('{"sentence": "\\ud800", "label": "x"}', "train.jsonl:2: sentence: half a surrogate pair"),
        (
            '{"sentence": "a", "label": "x", "label": "y"}',
            "train.jsonl:2: 'label' is there 2 times, in places 2 and 3",
        ),
        ('{"sentence": "a", "label": ' + "9" * 5000 + "}", "train.jsonl:2: not valid JSON"),
        ("[" * 100_000, "train.jsonl:2: not valid JSON"),
        ('{"sentence": "a", "label": "x"', "train.jsonl:2: not valid JSON"),
    ],
    ids=lambda text: text[:40],
)
def test_a_wrong_row_of_jsonl(tmp_path: Path, row: str, message: str) -> None:
    good = '{"sentence": "a", "label": "x"}\n'
    write(tmp_path, "train.jsonl", good + row + "\n" + good.replace("x", "y"))
    write(tmp_path, "dev.jsonl", good)
    assert message in refusal(tmp_path)


def test_labels_of_json_in_any_type(tmp_path: Path) -> None:
    for labels, names in (([True, False], ("false", "true")), ([1, 0], ("0", "1")), ([" x ", "y"], ("x", "y"))):
        rows = "".join(json.dumps({"sentence": "a", "label": label}) + "\n" for label in labels)
        write(tmp_path, "train.jsonl", rows)
        write(tmp_path, "dev.jsonl", rows)
        assert read_folder(OWN["classification"], tmp_path).task.labels == names


def test_values_are_not_taken_for_classes(tmp_path: Path) -> None:
    told = refusal(labelled(tmp_path, [f"{n / 7:.3f}" for n in range(160)] + ["1"] * 32))
    assert "train.tsv: label: labels with a decimal point are no classes, 161 different ones in 192 rows" in told
    assert told.endswith("for values to predict: --task regression")
    assert "decimal point" in refusal(labelled(tmp_path, ["1.0", "2.0"]))
    told = refusal(labelled(tmp_path, [f"id-{n}" for n in range(20)] * 2))
    assert "20 different labels in 40 rows are too many to be classes; accepted: at least 3 sentences per" in told
    assert "--task regression" in told
    # Names that merely have numbers in them are names, and three rows of each class are enough.
    assert read_folder(OWN["classification"], labelled(tmp_path, ["3.5", "other"])).task.labels == ("3.5", "other")
    assert (
        len(read_folder(OWN["classification"], labelled(tmp_path, [f"c{n}" for n in range(20)] * 3)).task.labels)
        == 20
    )


@pytest.mark.parametrize(
    ("train", "dev", "accepted"),
    [
        (["-1", "1"], "0", "-1, 1"),
        (["-1", "0", "1"], "2", "-1, 0, 1"),
        (["neg", "pos"], "1", "neg, pos"),
        (["+1", "-1"], "1", "+1, -1"),
        (["01", "02"], "1", "01, 02"),
        (["0", "1"], "2", "0 to 1"),
        (["0", "1"], "01", "0 to 1"),
        (["0", "1"], "1.0", "0 to 1"),
    ],
)
def test_labels_are_names_or_numbers_for_the_whole_task(
    tmp_path: Path, train: list[str], dev: str, accepted: str
) -> None:
    told = refusal(labelled(tmp_path, train, [train[0], dev]))
    assert "dev.tsv:3: label: not a label of this task, whose training labels are n" in told
    assert told.endswith(f"(got {dev!r}); accepted: {accepted}")
    # The names themselves are found again, whatever number they look like.
    read = read_folder(OWN["classification"], labelled(tmp_path, train))
    assert [read.task.labels[n] for n in read.splits["validation"].labels] == train


def test_a_task_of_glue_has_names_or_numbers_but_not_both(tmp_path: Path) -> None:
    task = GLUE["sst2"]
    for train, dev in ((["1", "0"], ["1", "1"]), (["positive", "negative"], ["positive", "positive"])):
        assert read_folder(task, labelled(tmp_path, train, dev)).splits["validation"].labels == (1, 1)
    told = refusal(labelled(tmp_path, ["1", "0", "positive", "1"]), "sst2")
    assert "train.tsv:4: label: not a label of this task (got 'positive'); accepted: 0 to 1 on every row, or" in told
    told = refusal(labelled(tmp_path, ["positive", "negative"], ["positive", "1"]), "sst2")
    assert "dev.tsv:3: label: not a label of this task, whose training labels are names (got '1')" in told


def test_what_was_decided_is_said(tmp_path: Path) -> None:
    notes = read_folder(OWN["classification"], labelled(tmp_path, ["b", "a", "b"], ["a"])).notes
    assert notes == (
        "data: train.tsv (3 rows), dev.tsv (1 rows); columns sentence, label",
        "2 classes, labels by name: a (1), b (2) training sentences",
    )
    assert read_folder(GLUE["sst2"], labelled(tmp_path, ["1", "0", "1"])).notes[1] == (
        "2 classes, labels by number: 0 negative (1), 1 positive (2) training sentences"
    )
    many = [f"c{n:02}" for n in range(30)] * 4
    assert "30 classes, labels by name: c00 (4), " in (
        note := read_folder(OWN["classification"], labelled(tmp_path, many)).notes[1]
    )
    assert note.endswith("c09 (4) and 20 more training sentences")
    # Mean 20, deviations ±50.
    assert (
        "values -30 to 70, mean 20, standard deviation 50:"
        in read_folder(OWN["regression"], labelled(tmp_path, ["-30", "70"])).notes[1]
    )
    write(tmp_path, "dev.tsv", "sentence\tlabel\n\t-30\n\t70\n")
    assert read_folder(OWN["regression"], tmp_path).notes[2:] == ("validation: 2 sentences are empty",)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train.tsv", "train.csv", "dev.tsv"), "train.tsv and train.csv are the same part of the data"),
        (("train.tsv", "dev.tsv", "validation.tsv"), "validation.tsv and dev.tsv are the same part"),
        (("train.jsonl", "dev.jsonl", "valid.csv"), "dev.jsonl and valid.csv are the same part"),
        (("SST-2/train.tsv", "sst2/train.tsv"), "SST-2 and sst2 are the same part"),
    ],
)
def test_two_files_for_one_part_are_not_chosen_between(tmp_path: Path, names: tuple[str, ...], message: str) -> None:
    for name in names:
        write((tmp_path / name).parent, Path(name).name, "sentence\tlabel\na\t0\nb\t1\n")
    assert f"{tmp_path}: {message}" in (told := refusal(tmp_path, "sst2"))
    assert told.endswith("accepted: one of them")


def test_a_column_that_is_there_twice(tmp_path: Path) -> None:
    for suffix, separator in (("tsv", "\t"), ("csv", ",")):
        folder = tmp_path / suffix
        for name in ("train", "dev"):
            text = "sentence,label,sentence\na,0,b\nc,1,d\n".replace(",", separator)
            write(folder, f"{name}.{suffix}", text)
        assert f"train.{suffix}:1: 'sentence' is there 2 times, in places 1 and 3" in refusal(folder, "sst2")


def test_a_byte_order_mark_and_line_ends_of_every_system(tmp_path: Path) -> None:
    rows = {
        "tsv": "sentence\tlabel\r\nhe said\u2028no\t1\r\nb\t0\r\n",
        "csv": "sentence,label\r\nhe said\u2028no,1\r\nb,0\r\n",
        "jsonl": '{"sentence": "he said\u2028no", "label": 1}\r\n\r\n{"sentence": "b", "label": 0}',
    }
    for suffix, text in rows.items():
        for name in ("train", "dev"):
            write(tmp_path / suffix, f"{name}.{suffix}", "\ufeff" + text)
        split = read_folder(GLUE["sst2"], tmp_path / suffix).splits["train"]
        assert split == Split((("he said\u2028no",), ("b",)), (1, 0))


def test_a_quotation_mark_that_is_never_closed(tmp_path: Path) -> None:
    for name in ("train", "dev"):
        write(tmp_path, f"{name}.csv", 'sentence,label\na,0\n"b,1\nc,0\n')
    assert "train.csv:4: not readable as csv: unexpected end of data" in refusal(tmp_path, "sst2")


def test_columns_of_other_names(tmp_path: Path) -> None:
    for name in ("train", "dev"):
        write(tmp_path, f"{name}.csv", "label,premise,hypothesis,gold\nx,p,h,1\ny,q,i,0\n")
    given = parse_columns("sentence1=premise, sentence2=hypothesis,label=gold")
    assert given == {"sentence1": "premise", "sentence2": "hypothesis", "label": "gold"}
    read = read_folder(GLUE["mrpc"], tmp_path, given)
    assert read.splits["train"] == Split((("p", "h"), ("q", "i")), (1, 0))
    assert read.notes[0].endswith("columns premise, hypothesis, gold")
    # One of a pair alone is one sentence where the task leaves it open.
    read = read_folder(OWN["classification"], tmp_path, parse_columns("sentence=hypothesis"))
    assert read.splits["train"] == Split((("h",), ("i",)), (0, 1))
    assert "columns missing, found label, premise, hypothesis, gold; accepted: a, label" in refusal(
        tmp_path, "sst2", "sentence=a"
    )
    # What is not given has its own name, and no column is two things.
    for task, columns, twice in (
        ("classification", "label=hypothesis,sentence1=premise,sentence2=hypothesis", "hypothesis"),
        ("classification", "sentence=label", "label"),
        ("rte", "sentence1=premise,sentence2=label", "label"),
    ):
        with pytest.raises(InputError, match=f"{twice}"):
            read_folder(OWN.get(task) or GLUE[task], tmp_path, parse_columns(columns))
    assert "train.csv: label: this column is taken for two; accepted: another column for each" in refusal(
        tmp_path, "classification", "sentence=label"
    )
    assert "--columns: task sst2 has one sentence (got 'sentence1')" in refusal(tmp_path, "sst2", "sentence1=premise")
    assert "train.csv:2: gold: not a label" in refusal(
        labelled_gold(tmp_path), "mrpc", "sentence1=premise,sentence2=hypothesis,label=gold"
    )


def labelled_gold(folder: Path) -> Path:
    write(folder, "train.csv", "premise,hypothesis,gold\np,h,7\nq,i,0\n")
    return folder


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label", "not name=column (got 'label'); accepted: sentence=…, sentence1=…, sentence2=…, label=…"),
        ("label=", "not name=column"),
        ("text=a", "no such column (got 'text')"),
        ("label=a,label=b", "given twice (got 'label')"),
        ("sentence=a,label=a", "this column is given for two (got 'a')"),
        ("sentence=a,sentence2=b", "one sentence, or two"),
    ],
)
def test_wrong_columns(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_columns(text)
    assert str(caught.value).startswith(f"--columns: {message}")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["3"], "train.tsv: label: one value is not enough for a correlation"),
        (["3", "3.0"], "train.tsv: label: all values are the same (got 3.0)"),
        (["1e31", "0"], "train.tsv: label: too far from 0 for float32 (got 1e+31)"),
        (["1e9", "1000000001"], "train.tsv: label: float32 cannot tell these values apart, mean 1e+09"),
        (["1_000", "0"], "train.tsv:2: label: not a number (got '1_000')"),
        (["True", "0"], "train.tsv:2: label: not a number (got 'True')"),
    ],
)
def test_values_that_cannot_be_learnt(tmp_path: Path, labels: list[str], message: str) -> None:
    assert message in refusal(labelled(tmp_path, labels), "regression")


def test_the_unit_of_values() -> None:
    unit = unit_of((2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0), "here")  # the textbook example of a deviation of 2
    assert (unit.mean, unit.deviation) == (5, 2)
    assert unit.standardised((9.0, 1.0)) == (2, -2)


def test_a_limit_draws_by_the_seed() -> None:
    split = Split(tuple((str(n),) for n in range(100)), tuple([0] * 50 + [1] * 50))  # sorted by class
    part = drawn(split, 20, seed=3)
    assert len(part.labels) == 20
    assert set(part.labels) == {0, 1}
    assert all((int(text) >= 50) == label for (text,), label in zip(part.sentences, part.labels, strict=True))
    assert part == drawn(split, 20, seed=3)
    assert part != drawn(split, 20, seed=4)
    assert drawn(split, 100, seed=0) is drawn(split, None, seed=0) is split


def test_what_is_cut_is_said() -> None:
    tokenizer = embedded_tokenizer(["a b c d e f g h"])
    # With [CLS] and [SEP]: 10, 6, 4 and 7 tokens.
    split = Split((("a b c d e f g h",), ("a b c d",), ("a b",), ("a b c d e",)), (0, 1, 0, 1))
    dataset = tokenised(split, tokenizer, tokens=6)
    assert [len(ids) for ids in dataset["input_ids"]] == [6, 6, 4, 6]
    assert cut_text("train", split, dataset, tokenizer, 6) == (
        "train: 2 of 4 sentences are longer than 6 tokens and lose what is behind, 2.5 tokens on average;"
        " the longest has 10"
    )
    assert cut_text("train", split, tokenised(split, tokenizer, 10), tokenizer, 10) is None
    tokenizer.truncation_side = "left"
    cut = tokenised(split, tokenizer, tokens=6)
    assert tokenizer.decode(cut["input_ids"][0]) == "[CLS] e f g h [SEP]"
    assert "lose what is in front, 2.5 tokens" in str(cut_text("train", split, cut, tokenizer, 6))
    tokenizer.truncation_side = "right"
    pair = Split((("a b c", "d"),), (0,))
    assert "1 of 1 sentence pairs" in str(cut_text("dev", pair, tokenised(pair, tokenizer, 5), tokenizer, 5))


def test_words_that_the_tokenizer_does_not_know() -> None:
    tokenizer = embedded_tokenizer(["a b c"])

    def told(*sentences: str) -> str | None:
        split = Split(tuple((text,) for text in sentences), (0,) * len(sentences))
        return unknown_text("dev", tokenised(split, tokenizer, tokens=9), tokenizer, "here")

    assert told("a b c", "c") is None
    assert told("a б c", "в") == "dev: the tokenizer does not know 2 of 4 tokens ([UNK])"
    assert told("", "") is None
    with pytest.raises(InputError, match=r"here: the tokenizer knows no word of the dev split: every one is \[UNK\]"):
        told("а б в", "г")


def test_data_is_known_by_its_content(tmp_path: Path) -> None:
    folder = labelled(tmp_path / "a", ["0", "1", "0"], ["1"])
    first = load_data(GLUE["sst2"], folder)
    assert first.source == str(folder)
    assert first.sha256.keys() == {"train", "validation"}
    # The same rows in another kind of file elsewhere are the same data.
    for name in ("train", "dev"):
        write(tmp_path / "b", f"{name}.csv", (folder / f"{name}.tsv").read_text().replace("\t", ","))
    assert load_data(GLUE["sst2"], tmp_path / "b").sha256 == first.sha256

    def changed(**splits: Split) -> set[str]:
        other = TaskData(first.task, first.source, {**first.splits, **splits}).sha256
        return {name for name in other if other[name] != first.sha256[name]}

    train = first.splits["train"]
    assert changed(train=Split(train.sentences, (0, 1, 1))) == {"train"}
    assert changed(train=Split((*train.sentences[:2], ("s2 ",)), train.labels)) == {"train"}
    assert changed(validation=Split((("s0",), ("s1",)), (1, 1))) == {"validation"}
    # Other names of the classes are other data.
    names = [load_data(OWN["classification"], labelled(tmp_path / n, [*n] * 2)).sha256["train"] for n in ("xy", "xz")]
    assert names[0] != names[1]


def test_a_relative_folder_is_kept_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled(tmp_path / "data", ["0", "1"])
    monkeypatch.chdir(tmp_path)
    assert load_data(GLUE["sst2"], Path("data")).source == str(tmp_path / "data")


def test_the_hub_s_hidden_labels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"sentence": ["a", "b"], "label": [0, -1]}
    monkeypatch.setattr("datasets.load_dataset", lambda *_: {"train": rows, "validation": rows})
    with pytest.raises(InputError, match=r"nyu-mll/glue \(sst2, train\): label: not a label .*\(got -1\)"):
        load_data(GLUE["sst2"], None)
    with pytest.raises(InputError, match="--columns: the hub's columns are known"):
        load_data(GLUE["sst2"], None, {"label": "gold"})
