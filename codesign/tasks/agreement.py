"""The embedded task, made here: is the verb that comes next in the singular or in the plural?

    singular   behind the kings , the guard near the sailors that the pilots with the nurse see …    (is not here)
    plural     the guard near the sailors that the pilots with the nurse …                           (see)

This is the number prediction of Linzen, Dupoux and Goldberg (2016, arXiv 1611.01368): the sentence stops before a
verb, and which noun that belongs to follows from how the words are nested. A noun before the comma or behind a
preposition is no subject; one in a clause is, until the clause has had its verb. One of the nouns that are not has
the other number, and exchanging it with the subject gives a sentence of the same words and the other label
(``twin``). Words without their order thus decide nothing, by construction.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from codesign.tasks.data import TaskData
from codesign.tasks.files import Split
from codesign.tasks.task import Metric, Task

EMBEDDED_SOURCE = "made by codesign"
"""Where the embedded task's data comes from, as results name it."""
AGREEMENT = Task("agreement", ("singular", "plural"), (Metric.ACCURACY,), False, ())

_PEOPLE = (
    "guard teacher farmer doctor sailor driver painter student baker neighbour singer writer gardener hunter lawyer "
    "miller soldier tailor waiter pilot judge nurse clerk actor dancer king queen prince cook builder"
)
_SEEING = (("sees", "see"), ("likes", "like"), ("knows", "know"), ("helps", "help"), ("finds", "find"))
_PLACES = ("near", "behind", "under", "beside", "above", "with")
_OPENINGS = ("", "in the morning ,", "yesterday ,", "as we know ,", "after the rain ,", "of course ,")
_CLAUSES = 1 / 3
"""Part of the sentences that have a clause."""
_SIDE_NOUNS = 0.3
"""How often a noun opens the sentence, or follows the verb of a clause."""


@dataclass(frozen=True)
class Noun:
    """A noun; ``number`` is 0 for singular, 1 for plural."""

    stem: str
    number: int

    def __str__(self) -> str:
        return self.stem + "s" * self.number


@dataclass(frozen=True)
class Sentence:
    """One sentence of the task.

    Attributes:
        parts: Words and nouns in order.
        subject: Place in it of the noun that the next verb belongs to.
        other: Place in it of a noun of the other number, which is no subject.
    """

    parts: tuple[str | Noun, ...]
    subject: int
    other: int

    @property
    def label(self) -> int:
        """1 where the verb has to be in the plural."""
        return _noun(self.parts[self.subject]).number

    @property
    def text(self) -> str:
        """The sentence in words."""
        return " ".join(str(part) for part in self.parts if part)

    @property
    def twin(self) -> Sentence:
        """The sentence of the same words and the other label: subject and other noun exchanged."""
        parts = list(self.parts)
        parts[self.subject], parts[self.other] = parts[self.other], parts[self.subject]
        return replace(self, parts=tuple(parts))


def _noun(part: str | Noun) -> Noun:
    assert isinstance(part, Noun)
    return part


def sentence(rng: random.Random) -> Sentence:
    """One sentence, drawn."""
    stems = iter(rng.sample(_PEOPLE.split(), 10))
    parts: list[str | Noun] = []
    subjects: list[int] = []
    others: list[int] = []

    def noun(kind: list[int]) -> None:
        parts.append("the")
        kind.append(len(parts))
        parts.append(Noun(next(stems), rng.randrange(2)))

    def place() -> None:
        parts.append(rng.choice(_PLACES))
        noun(others)

    def subject() -> None:
        noun(subjects)
        for _ in range(rng.randrange(3)):
            place()

    if rng.random() < _SIDE_NOUNS:
        place()
        parts.append(",")
    else:
        parts.append(rng.choice(_OPENINGS))
    subject()
    next_verb = subjects[0]
    if rng.random() < _CLAUSES:
        parts.append("that")
        subject()
        if rng.randrange(2):
            parts.append(rng.choice(_SEEING)[_noun(parts[subjects[1]]).number])
            if rng.random() < _SIDE_NOUNS:
                place()
        else:
            next_verb = subjects[1]
    if not others:
        place()
    other = rng.choice(others)
    parts[other] = replace(_noun(parts[other]), number=1 - _noun(parts[next_verb]).number)
    return Sentence(tuple(parts), next_verb, other)


def agreement_splits(train: int = 8000, validation: int = 1000, seed: int = 0) -> dict[str, Split]:
    """Training and validation sentences, none of them twice."""
    rng = random.Random(seed)
    drawn: dict[str, int] = {}
    while len(drawn) < train + validation:
        one = sentence(rng)
        drawn[one.text] = one.label
    rows = list(drawn.items())
    return {
        name: Split(tuple((text,) for text, _ in part), tuple(label for _, label in part))
        for name, part in (("train", rows[:train]), ("validation", rows[train:]))
    }


def agreement_data(seed: int) -> TaskData:
    """The embedded task with its sentences, as ``load_data`` gives other tasks."""
    return TaskData(AGREEMENT, EMBEDDED_SOURCE, agreement_splits(seed=seed))
