"""What codesign needs to know of a model family: config fields and module names.

One file in ``codesign/models/families`` describes one family. A further family is a further file there.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

from codesign.errors import InputError

ACTIVATIONS = (
    "gelu",
    "gelu_10",
    "gelu_accurate",
    "gelu_fast",
    "gelu_new",
    "gelu_python",
    "gelu_python_tanh",
    "gelu_pytorch_tanh",
    "hardswish",
    "leaky_relu",
    "linear",
    "mish",
    "quick_gelu",
    "relu",
    "relu2",
    "relu6",
    "sigmoid",
    "silu",
    "swish",
    "tanh",
)
"""Activations by transformers' names: each a fixed function of one number, which two tables can hold."""

PLAIN_ENCODER: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        # Attention: every token sees every other, and knows places from the embeddings alone.
        "is_decoder": (False,),
        "is_encoder_decoder": (False,),
        "add_cross_attention": (False,),
        "cross_attention_hidden_size": (None,),
        "position_embedding_type": ("absolute",),
        "pruned_heads": ({}, None),
        # The feed-forward part: in one piece.
        "chunk_size_feed_forward": (0,),
        # The model's code: transformers' own; its weights: numbers as they are.
        "auto_map": ({}, None),
        "quantization_config": (None,),
    }
)
"""Config fields that change what an encoder computes, with the values under which it is the integer model's. A field
that is not there has one of them; transformers 5 ignores some (position_embedding_type, pruned_heads, auto_map), and
would then compute something else than the model was trained as."""


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
        norm_epsilon: Name of the config field with the LayerNorms' ε; None where there is none.
        positions: Name of the config field with the number of positions.
        positions_after_padding: Whether the first token's position is ``pad_token_id`` + 1, and not 0.
        token_types: Name of the config field with the number of token types; None where there are none.
        accepted: Config fields that change what is computed, with the values that are accepted.
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
    norm_epsilon: str | None = "layer_norm_eps"
    positions: str = "max_position_embeddings"
    positions_after_padding: bool = False
    token_types: str | None = "type_vocab_size"
    accepted: Mapping[str, tuple[object, ...]] = field(default_factory=lambda: PLAIN_ENCODER)

    def check(self, config: Mapping[str, object], source: object) -> None:
        """Refuse a config.json that says of its encoder what the integer model does not compute.

        Raises:
            InputError: Naming the first such field.
        """
        accepted = {**self.accepted, self.activation: ACTIVATIONS}
        for name, values in accepted.items():
            if name in config and config[name] not in values:
                shown = ", ".join(json.dumps(value) if not isinstance(value, str) else value for value in values)
                raise InputError(
                    "changes what the encoder computes",
                    file=source,
                    field=name,
                    value=_shown(config[name]),
                    accepted=shown,
                )
        if self.norm_epsilon is not None and self.norm_epsilon in config:
            epsilon = config[self.norm_epsilon]
            if isinstance(epsilon, bool) or not isinstance(epsilon, int | float) or not 0 <= epsilon <= 1:
                raise InputError(
                    "not LayerNorm's ε",
                    file=source,
                    field=self.norm_epsilon,
                    value=_shown(epsilon),
                    accepted="0 to 1",
                )
        padding = config.get("pad_token_id", 0)
        if self.positions_after_padding and (
            isinstance(padding, bool) or not isinstance(padding, int) or padding < 0
        ):
            raise InputError(
                "positions begin after it",
                file=source,
                field="pad_token_id",
                value=_shown(padding),
                accepted="0 or more",
            )

    def most_tokens(self, config: Mapping[str, object]) -> int | None:
        """The longest sentence that there are positions for; None where the config does not say."""
        positions, padding = config.get(self.positions), config.get("pad_token_id")
        if not isinstance(positions, int):
            return None
        if not self.positions_after_padding:
            return positions
        return positions - padding - 1 if isinstance(padding, int) else None


def _shown(value: object) -> object:
    """What an error shows of a value of a JSON file: it has no ``None``."""
    return "null" if value is None else value


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
