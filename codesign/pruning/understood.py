"""Whether a model computes what codesign takes it for.

The integer model (``codesign/quantisation/encoder.py``) is an encoder of fixed steps: Q, K and V, attention in which
every token sees every other, an attention output, a residual sum with LayerNorm, two feed-forward matrices with an
activation between, and again a sum with LayerNorm. Here the same steps are written in float64, with the weights of
the modules that the family's description names, and compared with what transformers computes on a few sentences of
the task, step by step, each step on transformers' own inputs of it. What may differ is what float32 rounding does: a
bound on it is worked out beside each result, from the sizes and the numbers (Higham, Accuracy and Stability of
Numerical Algorithms, 2002, chapter 3: a sum of n products is off by at most γₙ = n·u/(1 − n·u) of the sum of their
magnitudes, u = 2⁻²⁴).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from codesign.errors import InputError, reason_of
from codesign.models import EncoderShape
from codesign.models.family import family_of
from codesign.pruning.encoder import encoder_matrices, layer_modules
from codesign.pruning.model import Classifier
from codesign.pruning.padding import collator
from codesign.tasks.data import TaskData

UNIT = 2.0**-24
"""u of float32."""
ELEMENTARY = 32
"""Units that torch's exp, tanh or erf may be off by: the least exact that it has, exp_u20, says 20."""
_TINY = 2.0**-100
"""Far below all that counts, above all that float32 loses at its lower end."""
SENTENCES, TOKENS = 3, 32
"""What is compared: so many sentences, cut to so many tokens; padding is among them."""
_LOOKED_AT = 64


@dataclass(frozen=True)
class Bounded:
    """What a step should give, float64, and how far float32 rounding may lead from it, elementwise."""

    value: Tensor
    error: Tensor


def check_understood(start: Classifier, data: TaskData, tokens: int) -> None:
    """Refuse a model whose encoder is not the one that the integer model is made for, or that gives no numbers.

    Args:
        start: The model, on the CPU; put into evaluation mode.
        data: Its task, for sentences.
        tokens: Longest sentence: one of this length is tried, too.

    Raises:
        InputError: A layer differs by more than rounding, gives a NaN or infinity, or the model fails.
    """
    model, source = start.model.eval(), start.shape.name
    short, long = probes(start, data, tokens)
    encoder_matrices(model, start.shape)  # refuses a description that does not fit
    for number, step, found, wanted in steps(model, start.shape, short, source):
        where = f"layer {number}, {step}" if number is not None else step
        if not torch.isfinite(found).all():
            raise InputError(
                f"{where}: NaN or infinite results from finite weights",
                file=source,
                accepted="a model whose results are finite in float32",
            )
        over = (found.double() - wanted.value).abs() - wanted.error
        # A bound that is NaN bounds nothing: results so large that their squares are infinite.
        if not (over <= 0).all():
            worst = int(over.nan_to_num(nan=torch.inf).flatten().argmax())
            off = float((found.double() - wanted.value).abs().flatten()[worst])
            raise InputError(
                f"{where}: transformers computes something else than the integer model would; they differ by"
                f" {off:.2g}, of which rounding explains {float(wanted.error.flatten()[worst]):.1g}",
                file=source,
                accepted=f"a plain {start.shape.family} encoder (docs/extending.md)",
            )
    for batch in (short, long):
        try:
            with torch.no_grad():
                logits = model(**batch).logits
        except Exception as error:  # whatever it is, training would meet it
            longest = batch["input_ids"].shape[1]
            raise InputError(f"fails on a sentence of {longest} tokens: {reason_of(error)}", file=source) from None
        if not torch.isfinite(logits).all():
            raise InputError(
                "NaN or infinite logits from finite weights",
                file=source,
                accepted="a model whose results are finite in float32",
            )


def probes(start: Classifier, data: TaskData, tokens: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Sentences to compare on, with padding; one as long as it may be.

    Raises:
        InputError: The tokenizer knows none of the words, or does not cut what is too long.
    """
    tokenizer = start.tokenizer
    rows = data.splits[data.task.evaluation[0]].sentences[:_LOOKED_AT]
    columns = [list(column) for column in zip(*rows, strict=True)]
    ids = {token for sentence in tokenizer(*columns)["input_ids"] for token in sentence}
    if ids <= set(tokenizer.all_special_ids) and any(text.strip() for column in columns for text in column):
        raise InputError(
            f"the tokenizer knows no word of the task's first {len(rows)} sentences",
            file=start.shape.name,
            accepted="the tokenizer that the model was trained with, and data in its language",
        )
    encoded = tokenizer(*columns, truncation=True, max_length=min(tokens, TOKENS))
    order = sorted(range(len(rows)), key=lambda row: len(encoded["input_ids"][row]))
    chosen = sorted({order[0], order[len(order) // 2], order[-1]}, reverse=True)[:SENTENCES]
    short = dict(
        tokenizer.pad({name: [part[row] for row in chosen] for name, part in encoded.items()}, return_tensors="pt")
    )
    if short["attention_mask"].all():
        short["attention_mask"][0, -1] = 0
        short["input_ids"][0, -1] = tokenizer.pad_token_id
    whole = [" ".join(column * (tokens // len(column) + 1)) for column in columns]
    longest = dict(tokenizer(*whole, truncation=True, max_length=tokens))
    if len(longest["input_ids"]) > tokens:
        raise InputError(
            f"the tokenizer cuts a long sentence to {len(longest['input_ids'])} tokens, not to --tokens",
            file=start.shape.name,
            value=tokens,
        )
    return short, collator(tokenizer)([longest])


def steps(
    model: PreTrainedModel, shape: EncoderShape, batch: dict[str, Tensor], source: object
) -> Iterator[tuple[int | None, str, Tensor, Bounded]]:
    """(layer, step, what transformers gives, what it should be) of every step, for tokens that are not padding.

    Raises:
        InputError: The model fails, or a module of the description takes no part in it.
    """
    family, layers = family_of(shape.family, shape.name), layer_modules(model, shape)
    base = model.base_model
    whole = base.get_submodule(family.layer.partition(".")[0])
    present = batch["attention_mask"].bool()
    watched: dict[tuple[int | None, str], nn.Module] = {(None, "encoder"): whole}
    for number, modules in enumerate(layers):
        watched[number, "layer"] = base.get_submodule(family.layer.format(number))
        watched |= {(number, name): module for name, module in modules.items()}
    seen = _run(model, watched, batch, source)

    def given(number: int | None, name: str) -> Tensor:
        return seen[number, name][0]

    def result(number: int | None, name: str) -> Tensor:
        return seen[number, name][1]

    def only(tensor: Tensor) -> Tensor:
        return tensor[present]

    state = given(None, "encoder")
    yield None, "embeddings", only(state), _exactly(only(state))
    activation = ACTIVATION[getattr(model.config, family.activation)]
    for number, modules in enumerate(layers):
        at = given(number, "layer")
        yield number, "input", only(at), _exactly(only(state))
        for name in ("query", "key", "value"):
            yield number, name, only(result(number, name)), linear(only(at), modules[name])
        query, key, value = (result(number, name) for name in ("query", "key", "value"))
        heads = attention(query, key, value, present, shape.heads)
        context = given(number, "attention_output")
        yield number, "attention", only(context), Bounded(only(heads.value), only(heads.error))
        added = result(number, "attention_output")
        yield number, "attention output", only(added), linear(only(context), modules["attention_output"])
        middle = result(number, "attention_norm")
        yield number, "first LayerNorm", only(middle), norm(only(at), only(added), modules["attention_norm"])
        before = result(number, "ffn_in")
        yield number, "first feed-forward matrix", only(before), linear(only(middle), modules["ffn_in"])
        inner = given(number, "ffn_out")
        yield number, f"activation {activation.name}", only(inner), activation(only(before))
        added = result(number, "ffn_out")
        yield number, "second feed-forward matrix", only(added), linear(only(inner), modules["ffn_out"])
        wanted = norm(only(middle), only(added), modules["ffn_norm"])
        yield number, "second LayerNorm", only(result(number, "ffn_norm")), wanted
        state = result(number, "layer")
        yield number, "output", only(state), wanted
    yield None, "encoder's output", only(result(None, "encoder")), _exactly(only(state))


def _run(
    model: PreTrainedModel, watched: dict[tuple[int | None, str], nn.Module], batch: dict[str, Tensor], source: object
) -> dict[tuple[int | None, str], tuple[Tensor, Tensor]]:
    """(what it is given, what it gives) of every module."""
    seen: dict[tuple[int | None, str], tuple[Tensor, Tensor]] = {}

    def look(key: tuple[int | None, str]) -> Callable[[Any, Any, dict[str, Any], Any], None]:
        def take(_: Any, arguments: Any, named: dict[str, Any], found: Any) -> None:
            before = arguments[0] if arguments else named["hidden_states"]
            seen[key] = before.detach(), (found if isinstance(found, Tensor) else found[0]).detach()

        return take

    hooks = [module.register_forward_hook(look(key), with_kwargs=True) for key, module in watched.items()]
    try:
        with torch.no_grad():
            model(**batch)
    except Exception as error:  # whatever it is, training would meet it
        raise InputError(f"the model fails on sentences of the task: {reason_of(error)}", file=source) from None
    finally:
        for hook in hooks:
            hook.remove()
    for key in watched:
        if key not in seen:
            raise InputError(f"layer {key[0]}: module {key[1]} takes no part in what the model computes", file=source)
    return seen


def gamma(products: int) -> float:
    """γₙ: what a sum of n products may be off by, in parts of the sum of their magnitudes."""
    return products * UNIT / (1 - products * UNIT)


def _exactly(value: Tensor) -> Bounded:
    return Bounded(value.double(), torch.zeros_like(value, dtype=torch.float64))


def linear(given: Tensor, module: nn.Module) -> Bounded:
    """x·Wᵀ + b, … × K to … × N."""
    assert isinstance(module, nn.Linear)
    value, weight = given.double(), module.weight.detach().double()
    bias = weight.new_zeros(len(weight)) if module.bias is None else module.bias.detach().double()
    size = value.abs() @ weight.abs().T + bias.abs()
    return Bounded(value @ weight.T + bias, gamma(weight.shape[1] + 2) * size + _TINY)


def attention(query: Tensor, key: Tensor, value: Tensor, present: Tensor, heads: int) -> Bounded:
    """softmax(QKᵀ/√d)·V by head: sentences × tokens × features each; only tokens that are ``present`` are seen."""
    q, k, v = (t.double().unflatten(-1, (heads, -1)).transpose(1, 2) for t in (query, key, value))
    width, count = q.shape[-1], k.shape[-2]
    root = math.sqrt(width)
    hidden = ~present[:, None, None, :]
    scores = (q @ k.transpose(-1, -2) / root).masked_fill(hidden, -torch.inf)
    # Of a score: its sum, the scaling, and the subtraction of the largest one.
    off = (gamma(width + 8) * (q.abs() @ k.abs().transpose(-1, -2)) / root).masked_fill(hidden, 0.0)
    # A score that is off by δ changes its weight by e^δ, and all of them their sum.
    relative = torch.expm1(2 * off.amax(-1, keepdim=True)) + gamma(2 * count + 2 * ELEMENTARY)
    weights = scores.softmax(-1)
    found = Bounded(weights @ v, relative * (weights @ v.abs()) + _TINY)
    return Bounded(*(part.transpose(1, 2).flatten(2) for part in (found.value, found.error)))


def norm(residual: Tensor, added: Tensor, module: nn.Module) -> Bounded:
    """LayerNorm of a sum, … × N each."""
    assert isinstance(module, nn.LayerNorm)
    total = residual.double() + added.double()
    features = total.shape[-1]
    mean = total.mean(-1, keepdim=True)
    distance = total - mean
    power = distance.square().mean(-1, keepdim=True) + module.eps
    # Of a distance: the sum's own rounding, the mean's, the subtraction's.
    off = 4 * UNIT * (total.abs() + mean.abs()) + gamma(features + 2) * total.abs().mean(-1, keepdim=True)
    off_power = (2 * distance.abs() * off + off.square()).mean(-1, keepdim=True) + gamma(features + 4) * power
    # 1/√(1 − r) ≤ 1 + r for r ≤ ½; beyond that the sum is all rounding, and nothing can be said.
    ratio = off_power / power
    ratio = torch.where(ratio <= 0.5, ratio, torch.inf)
    normal = distance / power.sqrt()
    off_normal = off / power.sqrt() * (1 + ratio) + normal.abs() * (ratio + 8 * UNIT)
    gain = torch.ones(features) if module.weight is None else module.weight.detach()
    offset = torch.zeros(features) if module.bias is None else module.bias.detach()
    scaled = normal * gain.double()
    error = gain.double().abs() * off_normal + 4 * UNIT * (scaled.abs() + offset.double().abs())
    return Bounded(scaled + offset.double(), error + _TINY)


@dataclass(frozen=True)
class Elementwise:
    """An activation: a function of one number."""

    name: str
    function: Callable[[Tensor], Tensor]

    def __call__(self, given: Tensor) -> Bounded:
        """Of any tensor."""
        value = given.double()
        found = self.function(value)
        # Each is made of sums and products of the number, of an elementary function of it, and of the result.
        return Bounded(found, ELEMENTARY * UNIT * (1 + value.abs() + found.abs()))


def _gelu(x: Tensor) -> Tensor:
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def _gelu_tanh(x: Tensor) -> Tensor:
    return x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def _sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x))


def _silu(x: Tensor) -> Tensor:
    return x * _sigmoid(x)


ACTIVATION = {
    name: Elementwise(name, function)
    for names, function in (
        (("gelu", "gelu_python"), _gelu),
        (("gelu_accurate", "gelu_fast", "gelu_new", "gelu_python_tanh", "gelu_pytorch_tanh"), _gelu_tanh),
        (("gelu_10",), lambda x: _gelu(x).clamp(-10, 10)),
        (("hardswish",), lambda x: x * (x + 3).clamp(0, 6) / 6),
        (("leaky_relu",), lambda x: torch.where(x < 0, 0.01 * x, x)),
        (("linear",), lambda x: x),
        (("mish",), lambda x: x * torch.tanh(torch.log1p(torch.exp(-x.abs())) + x.clamp(min=0))),
        (("quick_gelu",), lambda x: x * _sigmoid(1.702 * x)),
        (("relu",), lambda x: x.clamp(min=0)),
        (("relu2",), lambda x: x.clamp(min=0).square()),
        (("relu6",), lambda x: x.clamp(0, 6)),
        (("sigmoid",), _sigmoid),
        (("silu", "swish"), _silu),
        (("tanh",), torch.tanh),
    )
    for name in names
}
"""``codesign.models.family.ACTIVATIONS``, by their formulas."""
