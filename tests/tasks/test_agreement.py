from __future__ import annotations

import random

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from codesign.tasks.agreement import _THINGS, agreement_splits, sentence


def test_every_sentence_has_a_twin_of_the_same_words_and_the_other_label() -> None:
    # Hence any function of the bag of words is right on exactly one of the two: 50 % at best.
    rng = random.Random(1)
    for _ in range(500):
        one = sentence(rng)
        assert sorted(one.text.split()) == sorted(one.twin.text.split())
        assert one.text != one.twin.text
        assert one.twin.label == 1 - one.label
        assert one.twin.twin == one


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


def test_the_first_noun_decides() -> None:
    splits = agreement_splits(500, 100)
    plural = {f"{noun}{'es' if noun.endswith('x') else 's'}" for noun in _THINGS.split()}
    nouns = plural | set(_THINGS.split())
    for split in splits.values():
        for (text,), label in zip(split.sentences, split.labels, strict=True):
            first = next(word for word in text.split() if word in nouns)
            assert label == (first in plural)


def test_splits_are_disjoint_and_repeatable() -> None:
    splits = agreement_splits(400, 100, seed=5)
    assert splits == agreement_splits(400, 100, seed=5)
    assert splits != agreement_splits(400, 100, seed=6)
    assert len(splits["train"].sentences) == 400
    assert not set(splits["train"].sentences) & set(splits["validation"].sentences)
    assert 0.4 < sum(splits["train"].labels) / 400 < 0.6
