"""Rendering of what varies: jinja2, with undefined names as errors."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from codesign.shipped import data_folder


def render(template: str, **values: Any) -> str:
    """A template of ``hls_templates`` with these values.

    Args:
        template: Path below ``hls_templates``.
        values: Every name that it uses.

    Raises:
        jinja2.UndefinedError: A name is missing.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(data_folder("hls_templates")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # what is rendered is source code, not HTML
    )
