"""The one exception that means "the input is wrong", as opposed to "the program is"; what others' errors say."""

from __future__ import annotations

from functools import partial

_LONGEST = 200
"""Characters of a value that are shown: what a file holds may be a page."""


class InputError(Exception):
    """A mistake in what the user gave, told in one clear line.

    The command line prints the message and exits with code 2; Python callers catch it.

    Args:
        problem: What is wrong.
        file: The file it is in, if any.
        field: The dotted path of the field, e.g. ``device.lut``.
        value: The value found there, as given.
        accepted: What would have been accepted.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: object = None,
        field: str | None = None,
        value: object = None,
        accepted: str | None = None,
    ) -> None:
        where = ": ".join(str(part) for part in (file, field) if part is not None)
        given = repr(value)
        given = given if len(given) <= _LONGEST else given[:_LONGEST] + "…"
        shown = "" if value is None else f" (got {given})"
        hint = "" if accepted is None else f"; accepted: {accepted}"
        super().__init__(f"{where + ': ' if where else ''}{problem}{shown}{hint}")
        self.problem = problem
        self.file = file
        self.field = field
        self.value = value
        self.accepted = accepted

    def __reduce__(self) -> tuple[object, ...]:
        """Across processes, with everything that it was made of."""
        given = {name: vars(self)[name] for name in ("file", "field", "value", "accepted")}
        return partial(InputError, **given), (self.problem,)


def reason_of(error: Exception) -> str:
    """What an error of another library says, in a line: up to where its first sentence ends, not to a colon."""
    said = []
    for line in filter(None, map(str.strip, str(error).splitlines())):
        said.append(line)
        if not line.endswith(":"):
            break
    return " ".join(said) or type(error).__name__
