"""Which seeds every library that draws numbers takes."""

from __future__ import annotations

from codesign.errors import InputError

HIGHEST_SEED = 2**32 - 1
"""numpy's."""


def check_seed(seed: int) -> int:
    """A seed that can be used.

    Raises:
        InputError: It is negative or too large.
    """
    if not 0 <= seed <= HIGHEST_SEED:
        raise InputError("not accepted", field="--seed", value=seed, accepted=f"0 to {HIGHEST_SEED}")
    return seed
