"""What codesign needs to know of a model family: config fields and module names.

One file in ``codesign/models/families`` describes one family. A further family is a further file there.
"""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache

from codesign.errors import InputError


@dataclass(frozen=True)
class Family:
    """One family of encoders, as transformers names things.

    Attributes:
        model_type: ``model_type`` in config.json.
        hidden, layers, ffn, heads: Names of the config fields that hold these sizes.
        layer: Module path of one encoder layer below the base model, with ``{}`` for its number.
        query, key, value, attention_output, ffn_in, ffn_out: Module paths of its matrices below that.
        attention_norm, ffn_norm: Module paths of its LayerNorms, after attention and after the feed-forward part.
        activation: Name of the config field with the feed-forward activation.
    """

    model_type: str
    hidden: str
    layers: str
    ffn: str
    heads: str
    layer: str
    query: str
    key: str
    value: str
    attention_output: str
    ffn_in: str
    ffn_out: str
    attention_norm: str
    ffn_norm: str
    activation: str


@cache
def families() -> dict[str, Family]:
    """Every described family by its ``model_type``."""
    import codesign.models.families as package

    found = (
        importlib.import_module(f"{package.__name__}.{module.name}").FAMILY
        for module in pkgutil.iter_modules(package.__path__)
    )
    return {family.model_type: family for family in found}


def family_of(model_type: object, source: object) -> Family:
    """The family of a ``model_type``; ``source`` is named in the error.

    Raises:
        InputError: The family is not described.
    """
    if not isinstance(model_type, str) or model_type not in families():
        raise InputError(
            "unknown model family",
            file=source,
            field="model_type",
            value=model_type,
            accepted=", ".join(sorted(families())),
        )
    return families()[model_type]
