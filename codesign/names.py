"""What names may hold: they end up in comments of generated sources, in Tcl, Makefiles, tables, figures and pages."""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated

from pydantic import AfterValidator

_MARKS = " ._-+=,:/()@~×"
"""What free text may hold besides letters and digits: nothing that ends or continues a comment or a string."""


def harmless(text: str) -> str:
    """A text for a comment in any language, with ``_`` in place of what could end one, continue it or hide in it."""
    kept = (c if c.isalnum() or c in _MARKS else "_" for c in unicodedata.normalize("NFC", text))
    return "".join(kept).strip() or "_"


def _checked(pattern: str, accepted: str) -> AfterValidator:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"not a name that can stand in generated files; accepted: {accepted}")
        return text

    return AfterValidator(check)


def _check_text(text: str) -> str:
    if text != harmless(text):
        raise ValueError(
            f"not a text that can stand in generated files; accepted: {ACCEPTED}, such as {harmless(text)!r}"
        )
    return text


ACCEPTED = f"letters, digits, spaces and {' '.join(_MARKS.strip())}"
"""What ``Title`` accepts, for messages."""
Title = Annotated[str, AfterValidator(_check_text)]
"""Free text of one line."""
BoardName = Annotated[str, _checked(r"[a-z0-9][a-z0-9._-]*", "lower-case letters, digits, . _ -")]
Part = Annotated[str, _checked(r"[A-Za-z0-9][A-Za-z0-9._-]*", "letters, digits, . _ -")]
"""Of a device, as the vendor's tools take it."""
Platform = Annotated[str, _checked(r"[A-Za-z0-9._/][A-Za-z0-9._/-]*", "letters, digits, . _ - /")]
"""A name, or the path of a file that describes one."""
Identifier = Annotated[str, _checked(r"[A-Za-z_][A-Za-z0-9_]*", "letters, digits, _")]
ModuleName = Annotated[str, _checked(r"[A-Za-z_][A-Za-z0-9_.]*", "letters, digits, _ .")]
"""A matrix: names of modules joined by dots."""
FileName = Annotated[
    str, _checked(r"(?!.*\.\.)[A-Za-z0-9_][A-Za-z0-9._/-]*", "a path below the folder: letters, digits, . _ - /")
]
