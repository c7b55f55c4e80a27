"""Models that compute something else than the integers would: the check against PyTorch's own layers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN

from codesign.errors import InputError
from codesign.models import EncoderShape
from codesign.models.embedded import embedded_tokenizer
from codesign.models.family import ACTIVATIONS
from codesign.pruning.model import Classifier
from codesign.pruning.understood import ACTIVATION, attention, check_understood, linear, norm, probes, steps
from codesign.tasks.agreement import AGREEMENT, agreement_splits
from codesign.tasks.data import TaskData
from codesign.tasks.files import Split
from tests.pruning import tiny

DATA = TaskData(AGREEMENT, "here", agreement_splits(48, 16, seed=1))
TOKENIZER = embedded_tokenizer(text for (text,) in DATA.splits["train"].sentences)
FAMILIES = ("bert", "roberta", "distilbert")


def start(family: str, seed: int = 0, scale: float = 4.0, **config: object) -> Classifier:
    """A tiny model with weights of trained models' sizes."""
    torch.manual_seed(seed)
    model = tiny.tiny_model(family, len(TOKENIZER))
    if config:
        model = type(model)(type(model.config).from_dict(model.config.to_dict() | config))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".layer." in name:
                parameter.mul_(scale).add_(0.05 * torch.randn_like(parameter))
    return Classifier(model.eval(), TOKENIZER, EncoderShape("mine", family, 32, 2, 56, 2), fine_tuned=False)


def refusal(given: Classifier, data: TaskData = DATA) -> str:
    with pytest.raises(InputError) as caught:
        check_understood(given, data, 32)
    return str(caught.value)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_plain_encoders_are_understood(family: str, seed: int, implementation: str) -> None:
    given = start(family, seed)
    given.model.set_attn_implementation(implementation)
    check_understood(given, DATA, 32)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation(name: str) -> None:
    """Against transformers' own function in float64, far out too; and a model of it is understood."""
    values = torch.cat([torch.linspace(-12, 12, 4001), torch.tensor([-50.0, 0.0, 50.0])]).double()
    wanted = ACT2FN[name](values)
    assert torch.allclose(ACTIVATION[name].function(values), wanted, rtol=1e-7, atol=1e-9)
    bounded = ACTIVATION[name](values.float())
    off = (ACT2FN[name](values.float()).double() - bounded.value).abs()
    assert (off <= bounded.error).all()
    check_understood(start("bert", hidden_act=name), DATA, 32)


@pytest.mark.parametrize("epsilon", [1e-12, 1e-3, 0.3])
def test_every_epsilon(epsilon: float) -> None:
    check_understood(start("bert", layer_norm_eps=epsilon), DATA, 32)


def test_bounds_hold_and_are_not_wide() -> None:
    """Against torch's float32, whose results lie within the bound, which is a small part of the results."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 96, generator=generator)
    layer, layer_norm = nn.Linear(96, 80), nn.LayerNorm(96)
    nn.init.normal_(layer_norm.weight, 1.0, 0.5)
    cases = [(layer(x), linear(x, layer)), (layer_norm(x + 3 * x.flip(0)), norm(x, 3 * x.flip(0), layer_norm))]
    q, k, v = torch.randn(3, 4, 16, 96, generator=generator)
    present = torch.arange(16) < torch.tensor([16, 9, 1, 4])[:, None]
    by_head = [t.unflatten(-1, (6, 16)).transpose(1, 2) for t in (q, k, v)]
    found = nn.functional.scaled_dot_product_attention(*by_head, attn_mask=present[:, None, None, :])
    cases.append((found.transpose(1, 2).flatten(2), attention(q, k, v, present, 6)))
    for value, bounded in cases:
        off = (value.detach().double() - bounded.value).abs()
        assert (off <= bounded.error).all()
        assert (bounded.error < 2e-4 * bounded.value.abs().mean()).all()


def test_a_causal_model(monkeypatch: pytest.MonkeyPatch) -> None:
    given = start("bert", is_decoder=True)
    assert "mine: layer 0, attention: transformers computes something else" in (line := refusal(given))
    assert "of which rounding explains" in line


def _relative(module: nn.Module) -> None:
    """Keys that know their place, as relative positions in attention have them."""
    places = torch.randn(64, 32, generator=torch.Generator().manual_seed(1))
    attention = module.bert.encoder.layer[1].attention.self
    plain = attention.forward

    def forward(states: torch.Tensor, *rest: object, **named: object) -> object:
        key = attention.key.forward
        attention.key.forward = lambda given: key(given) + 0.1 * places[: given.shape[1]]
        try:
            return plain(states, *rest, **named)
        finally:
            attention.key.forward = key

    attention.forward = forward


def _change(model: PreTrainedModel, what: str) -> None:
    layers = model.bert.encoder.layer
    if what == "relative":
        _relative(model)
    elif what == "rotary":
        layers[1].attention.self.scaling *= 1.01
    elif what == "relu":
        layers[0].intermediate.intermediate_act_fn = nn.ReLU()
    elif what == "gelu_new":  # up to 0.0005 beside gelu
        layers[1].intermediate.intermediate_act_fn = ACT2FN["gelu_new"]
    elif what == "skipped":
        layers[1].forward = lambda states, *_, **__: states
    elif what == "after":
        encoder = model.bert.encoder
        plain = encoder.forward

        def forward(*given: object, **named: object) -> object:
            found = plain(*given, **named)
            found.last_hidden_state = 1.001 * found.last_hidden_state
            return found

        encoder.forward = forward
    elif what == "scaled sum":
        output = layers[0].output
        output.forward = lambda states, given: output.LayerNorm(output.dense(states) + 0.99 * given)


@pytest.mark.parametrize(
    ("what", "where"),
    [
        ("relative", "layer 1, key"),
        ("rotary", "layer 1, attention"),
        ("relu", "layer 0, activation gelu"),
        ("gelu_new", "layer 1, activation gelu"),
        ("skipped", "layer 1: module query takes no part"),
        ("after", "mine: encoder's output"),
        ("scaled sum", "layer 0, second LayerNorm"),
    ],
)
def test_another_step_is_named(what: str, where: str) -> None:
    given = start("bert")
    _change(given.model, what)
    assert where in refusal(given)


def test_layers_that_normalise_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family described as BERT's whose layers are not: what docs/extending.md says does not work."""
    given = start("bert")
    for layer in given.model.bert.encoder.layer:
        attention = layer.attention
        attention.self.forward = lambda states, *rest, a=attention, plain=attention.self.forward, **named: plain(
            a.output.LayerNorm(states), *rest, **named
        )
    assert "mine: layer 0, query" in refusal(given)


def test_weights_that_are_finite_and_results_that_are_not() -> None:
    given = start("bert")
    with torch.no_grad():
        given.model.bert.encoder.layer[1].attention.self.query.weight.fill_(3e38)
    assert "mine: layer 1, query: NaN or infinite results from finite weights" in refusal(given)
    given = start("bert")
    with torch.no_grad():
        given.model.bert.embeddings.LayerNorm.weight.fill_(3e38)
        given.model.bert.embeddings.LayerNorm.bias.fill_(3e38)
    assert "mine: embeddings: NaN or infinite results" in refusal(given)
    given = start("bert")
    with torch.no_grad():
        given.model.classifier.weight.fill_(3e38)
    assert "mine: NaN or infinite logits" in refusal(given)


def test_a_tokenizer_of_other_words() -> None:
    rows = tuple((f"ΑΒΓ {number}",) for number in range(4))
    other = replace(DATA, splits={name: Split(rows, (0, 1, 0, 1)) for name in ("train", "validation")})
    line = refusal(start("bert"), other)
    assert "the tokenizer knows no word of the task's first 4 sentences" in line


def test_probes_have_padding_even_of_equal_lengths_and_one_is_as_long_as_allowed() -> None:
    rows = (("the key",), ("the box",), ("the car",))
    data = replace(DATA, splits={"validation": Split(rows, (0, 1, 0))})
    short, long = probes(start("roberta"), data, 20)
    assert not short["attention_mask"].all()
    assert (short["input_ids"][~short["attention_mask"].bool()] == TOKENIZER.pad_token_id).all()
    assert int(long["attention_mask"].sum()) == 20


def test_padding_is_not_looked_at() -> None:
    given = start("bert")
    short, _ = probes(given, DATA, 32)
    assert {int(n) for n in short["attention_mask"].sum(1)} != {short["input_ids"].shape[1]}
    for _, _, found, _ in steps(given.model, given.shape, short, "mine"):
        assert found.shape[0] == int(short["attention_mask"].sum())
