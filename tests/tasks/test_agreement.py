from __future__ import annotations

import random
from itertools import pairwise

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from codesign.tasks.agreement import agreement_splits, sentence

PREPOSITIONS = {"near", "behind", "under", "beside", "above", "with"}
SEEING = {"see", "like", "know", "help", "find"}


def number(noun: str) -> int:
    return int(noun.endswith("s"))


def nouns(text: str) -> list[str]:
    """All nouns, in order."""
    words = text.split()
    return [word for before, word in pairwise(words) if before == "the" and word not in ("morning", "rain")]


def by_nesting(text: str) -> int:
    """The answer of a reader with a stack: subjects wait on it for their verbs."""
    words = text.rpartition(",")[2].split()
    waiting: list[str] = []
    for at, word in enumerate(words):
        if at and words[at - 1] == "the" and (at < 2 or words[at - 2] not in PREPOSITIONS):
            waiting.append(word)
        elif word.removesuffix("s") in SEEING:
            # Its verb agrees with it, as the one that is asked for has to.
            assert word.endswith("s") != number(waiting.pop())
    return number(waiting[-1])


def test_every_sentence_has_a_twin_of_the_same_words_and_the_other_label() -> None:
    # Hence any function of the bag of words is right on exactly one of the two: 50 % at best.
    rng = random.Random(1)
    for _ in range(500):
        one = sentence(rng)
        assert sorted(one.text.split()) == sorted(one.twin.text.split())
        assert one.text != one.twin.text
        assert one.twin.label == 1 - one.label
        assert one.twin.twin == one
        for each in (one, one.twin):
            assert each.label == by_nesting(each.text)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "model", [LogisticRegression(max_iter=200), MLPClassifier((64,), max_iter=8, random_state=0)]
)
def test_a_bag_of_words_does_not_solve_it(model: LogisticRegression | MLPClassifier) -> None:
    splits = agreement_splits(3000, 1000)
    words = CountVectorizer(token_pattern=r"\S+")
    train = words.fit_transform(text for (text,) in splits["train"].sentences)
    model.fit(train, splits["train"].labels)
    right = model.score(words.transform(t for (t,) in splits["validation"].sentences), splits["validation"].labels)
    # 1,000 fair coins: 5 standard deviations are 0.08.
    assert abs(right - 0.5) < 0.08


def test_no_place_in_the_sentence_decides() -> None:
    split = agreement_splits(1000, 1)["train"]
    for place in (0, 1, -1):
        for from_comma in (False, True):
            right = 0
            for (text,), label in zip(split.sentences, split.labels, strict=True):
                found = nouns(text.rpartition(",")[2] if from_comma else text)
                right += number(found[min(place, len(found) - 1)]) == label
            # The best of them is the first noun behind the comma.
            assert right < 940


def test_splits_are_disjoint_and_repeatable() -> None:
    splits = agreement_splits(400, 100, seed=5)
    assert splits == agreement_splits(400, 100, seed=5)
    assert splits != agreement_splits(400, 100, seed=6)
    assert len(splits["train"].sentences) == 400
    assert not set(splits["train"].sentences) & set(splits["validation"].sentences)
    assert 0.4 < sum(splits["train"].labels) / 400 < 0.6
