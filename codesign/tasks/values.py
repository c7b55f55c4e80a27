"""Values to predict: their unit, and which of them can be learnt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from codesign.errors import InputError

_LARGEST = 1e30
_FARTHEST = 1e4
"""How many standard deviations the mean may lie from 0: of float32's seven digits, three are then left for them."""


@dataclass(frozen=True)
class Unit:
    """Mean and standard deviation of the training labels: between them and the user's unit lies what is learnt."""

    mean: float
    deviation: float

    def standardised(self, labels: Sequence[float]) -> tuple[float, ...]:
        """Labels as standard deviations from the mean."""
        return tuple((label - self.mean) / self.deviation for label in labels)


def unit_of(labels: Sequence[float], where: str) -> Unit:
    """The unit of labels.

    Raises:
        InputError: There are fewer than two, they are all the same, or float32 could not tell them apart.
    """
    if len(labels) < 2:
        raise InputError("one value is not enough for a correlation", file=where, accepted="two rows or more")
    if max(map(abs, labels)) > _LARGEST:
        far = max(labels, key=abs)
        raise InputError("too far from 0 for float32", file=where, value=far, accepted=f"at most {_LARGEST:g}")
    mean = math.fsum(labels) / len(labels)
    deviation = math.sqrt(math.fsum((label - mean) * (label - mean) for label in labels) / len(labels))
    if min(labels) == max(labels):
        raise InputError("all values are the same", file=where, value=labels[0], accepted="values that differ")
    if deviation < 1 / _LARGEST or abs(mean) > _FARTHEST * deviation:
        raise InputError(
            f"float32 cannot tell these values apart, mean {mean:g}, standard deviation {deviation:g}",
            file=where,
            accepted="values nearer to 0, such as their differences from the mean",
        )
    return Unit(mean, deviation)


def values_text(labels: Sequence[float], unit: Unit) -> str:
    """What values are predicted, in the user's unit."""
    return (
        f"values {min(labels):g} to {max(labels):g}, mean {unit.mean:.4g}, standard deviation {unit.deviation:.4g}:"
        " trained on in standard deviations from the mean, answered in their own unit"
    )
