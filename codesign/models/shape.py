"""The shape of an encoder: read from a config.json, a hub name or a bare description."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codesign.errors import InputError, reason_of
from codesign.files import read_json
from codesign.models.family import family_of
from codesign.names import ACCEPTED, Title, harmless


@dataclass(frozen=True)
class Matrix:
    """One weight matrix of the encoder, ``out_features`` × ``in_features`` (N × K).

    ``activation`` says whether one follows it, by table.
    """

    name: str
    out_features: int
    in_features: int
    activation: bool = False

    @property
    def weights(self) -> int:
        """Number of weights."""
        return self.out_features * self.in_features


@dataclass(frozen=True)
class EncoderShape:
    """Sizes of an encoder; ``family`` decides the names of its matrices."""

    name: Title
    family: str
    hidden: int
    layers: int
    ffn: int
    heads: int

    def matrices(self) -> list[Matrix]:
        """The encoder's weight matrices in the order of use: per layer Q, K, V, output, feed-forward 1, 2."""
        family = family_of(self.family, self.name)
        hidden, ffn = self.hidden, self.ffn
        parts = (
            (family.query, hidden, hidden),
            (family.key, hidden, hidden),
            (family.value, hidden, hidden),
            (family.attention_output, hidden, hidden),
            (family.ffn_in, ffn, hidden),
            (family.ffn_out, hidden, ffn),
        )
        return [
            Matrix(f"{family.layer.format(layer)}.{part}", out_features, in_features, part == family.ffn_in)
            for layer in range(self.layers)
            for part, out_features, in_features in parts
        ]

    def attention_macs(self, tokens: int) -> int:
        """Multiply-accumulates of QKᵀ and PV for one sentence: no weights, so not the planner's to place."""
        return 2 * self.layers * self.hidden * tokens * tokens


EMBEDDED_DEFAULT = EncoderShape("embedded-default", "bert", hidden=128, layers=2, ffn=512, heads=2)
"""The small BERT that a command works on when no model is given."""

_SIZES = ("hidden", "layers", "ffn", "heads")


def parse_shape(text: str) -> EncoderShape:
    """An encoder from a description such as ``hidden=384,layers=6,ffn=1536,heads=12``.

    ``family=`` (default ``bert``) and ``name=`` may be given too.

    Raises:
        InputError: A part is not name=value, unknown, missing, given twice or out of range.
    """
    given: dict[str, str] = {}
    for part in text.split(","):
        key, separator, value = (piece.strip() for piece in part.partition("="))
        if not separator or not value:
            raise InputError("not name=value", field="--shape", value=part, accepted="hidden=384,layers=6,…")
        if key not in (*_SIZES, "family", "name"):
            raise InputError(
                "unknown field", field="--shape", value=key, accepted=", ".join((*_SIZES, "family", "name"))
            )
        if key in given:
            raise InputError("given twice", field="--shape", value=key)
        given[key] = value
    family = given.pop("family", "bert")
    family_of(family, "--shape")
    name = given.pop("name", None)
    if name is not None and name != harmless(name):
        raise InputError(
            "not a name that can stand in generated files", field="--shape", value=f"name={name}", accepted=ACCEPTED
        )
    sizes: dict[str, Any] = dict(given)
    shape_name = name or "h{hidden}-l{layers}-f{ffn}".format_map({key: sizes.get(key, "?") for key in _SIZES})
    return _shape(shape_name, family, sizes, {size: size for size in _SIZES}, "--shape")


def load_shape(model: str, tokens: int | None = None) -> EncoderShape:
    """An encoder from a folder with a config.json, the path of a config.json, or a hub name.

    Args:
        model: Folder, file or hub name.
        tokens: A sentence's length that the model has to take, where that is known.

    Raises:
        InputError: The folder or file is missing or unreadable, the family is unknown, a size is missing or
            out of range, a field says that the encoder is another than the integer model, the model takes fewer
            tokens, or the hub cannot be reached.
    """
    config, source = read_config(model)
    family = family_of(config.get("model_type"), source)
    names = {size: getattr(family, size) for size in _SIZES}
    label = Path(model).resolve().name if Path(model).exists() else model
    shape = _shape(label, family.model_type, config, names, source)
    family.check(config, source)
    if tokens is not None:
        check_tokens(tokens, family.most_tokens(config))
    return shape


def read_config(model: str) -> tuple[dict[str, Any], str]:
    """(config.json as it stands there, what to call it in an error).

    Raises:
        InputError: It is missing or unreadable, or the hub cannot be reached.
    """
    path = Path(model)
    if path.is_dir():
        path = path / "config.json"
    if path.is_file() or path.suffix == ".json":
        config, source = read_json(path), str(path)
    elif path.exists() or model.startswith((".", "/", "~")):
        raise InputError("no config.json there", file=model, accepted="a folder with a config.json")
    else:
        config, source = _hub_config(model), f"{model} (config.json)"
    if not isinstance(config, dict):
        raise InputError("not a model configuration", file=source, accepted="a JSON object")
    return config, source


def check_tokens(tokens: int, most: int | None, least: int = 1) -> None:
    """Refuse sentences that are longer than the model takes; ``least`` is for the message.

    Raises:
        InputError: ``tokens`` is above ``most``.
    """
    if most is not None and tokens > most:
        raise InputError(
            f"the model takes at most {most} tokens", field="--tokens", value=tokens, accepted=f"{least} to {most}"
        )


def _hub_config(model: str) -> dict[str, Any]:
    # Imported here: transformers takes seconds to import and local folders do not need it.
    from transformers import AutoConfig

    # The hub's retries are not the user's concern; the outcome is told below.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        config: dict[str, Any] = AutoConfig.from_pretrained(model).to_dict()
    except Exception as error:  # transformers raises many kinds; all mean "not to be had"
        raise InputError(
            f"no such local folder, and the hub gave no configuration: {reason_of(error)}",
            field="--model",
            value=model,
            accepted="a folder with a config.json, a hub name when online, or --shape",
        ) from None
    return config


def _shape(name: str, family: str, content: dict[str, Any], fields: dict[str, str], source: object) -> EncoderShape:
    sizes: dict[str, int] = {}
    for size, field in fields.items():
        if field not in content:
            raise InputError("this field is missing", file=source, field=field, accepted="a positive integer")
        value = content[field]
        # Python makes no integer of more than 4300 digits.
        number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 10 else value
        if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= 1 << 20:
            raise InputError(
                "not a size", file=source, field=field, value=value, accepted="an integer from 1 to 1048576"
            )
        sizes[size] = number
    if sizes["hidden"] % sizes["heads"]:
        raise InputError(
            f"{sizes['heads']} heads do not divide {sizes['hidden']} hidden units",
            file=source,
            field=fields["heads"],
            value=sizes["heads"],
            accepted="a divisor of the hidden size",
        )
    # A folder may be called anything: its name stands in comments of generated sources.
    return EncoderShape(harmless(name), family, **sizes)
