"""The embedded task, made here: which verb form agrees with the subject, across whatever stands between them?

    plural     in the morning , the old keys that the guard sees near the cabinet …  (are not here)
    singular   in the morning , the old cabinet that the guard sees near the keys …  (is not here)

This is the number prediction of Linzen, Dupoux and Goldberg (2016, arXiv 1611.01368): the sentence stops before the
verb. Behind every subject stands a noun of the other number, and exchanging the two gives a sentence of the same
words and the other label (``twin``). Words without their order thus decide nothing, by construction; a model has to
find out which noun is the subject.
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

_THINGS = (
    "key door cabinet box book letter picture lamp table chair window cup plate bottle basket ladder "
    "hammer bicycle car boat train bridge tower garden tree flower river stone wall roof"
)
_PEOPLE = "guard teacher farmer doctor sailor driver painter student baker neighbour"
_SEEING = (("sees", "see"), ("likes", "like"), ("knows", "know"), ("wants", "want"), ("finds", "find"))
_PLACES = ("near", "behind", "under", "beside", "above", "with")
_KINDS = ("old", "new", "small", "large", "red", "green", "heavy", "light")
_OPENINGS = ("in the morning ,", "yesterday ,", "as we know ,", "after the rain ,", "of course ,")


@dataclass(frozen=True)
class Sentence:
    """One sentence of the task, by its parts; a number is 0 for singular, 1 for plural."""

    opening: str
    kind: str
    subject: str
    subject_number: int
    clause: str
    place: str
    other: str
    tail: str

    @property
    def label(self) -> int:
        """1 where the verb has to be in the plural."""
        return self.subject_number

    @property
    def text(self) -> str:
        """The sentence in words."""
        parts = (
            self.opening,
            "the",
            self.kind,
            _noun(self.subject, self.subject_number),
            self.clause,
            self.place,
            "the",
            _noun(self.other, 1 - self.subject_number),
            self.tail,
        )
        return " ".join(part for part in parts if part)

    @property
    def twin(self) -> Sentence:
        """The sentence of the same words and the other label: subject and the noun behind it exchanged."""
        return replace(self, subject=self.other, other=self.subject, subject_number=1 - self.subject_number)


def _noun(stem: str, number: int) -> str:
    return stem + ("es" if stem.endswith("x") else "s") * number


def sentence(rng: random.Random) -> Sentence:
    """One sentence, drawn."""
    subject, other, third = rng.sample(_THINGS.split(), 3)
    seeing, number = rng.choice(_SEEING), rng.randrange(2)
    clause = f"that the {_noun(rng.choice(_PEOPLE.split()), number)} {seeing[number]}"
    tail = f"{rng.choice(_PLACES)} the {_noun(third, rng.randrange(2))}"
    return Sentence(
        opening=rng.choice(("", *_OPENINGS)),
        kind=rng.choice(("", *_KINDS)),
        subject=subject,
        subject_number=rng.randrange(2),
        clause=rng.choice(("", clause)),
        place=rng.choice(_PLACES),
        other=other,
        tail=rng.choice(("", tail)),
    )


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
