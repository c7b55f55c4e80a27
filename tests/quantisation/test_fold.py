"""The integer model against the float one, against a slow one in Python's own integers, and its choices."""

from __future__ import annotations

import copy
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel

from codesign.errors import InputError
from codesign.models import EncoderShape, load_shape
from codesign.quantisation.classifier import IntegerClassifier
from codesign.quantisation.encoder import Encoder, Layer, constants, rebuild, stored
from codesign.quantisation.fold import Quantised, _attention, _norm, _norm_gain, _shift, fold
from codesign.quantisation.grids import Grid, choose_grids
from codesign.quantisation.observe import Observed, observe
from codesign.quantisation.operations import mean_constants
from codesign.quantisation.ranges import (
    RangeChoice,
    activation_tables,
    feature_scales,
    quantise_weight,
    tensor_scale,
    value_scales,
)
from codesign.tasks.agreement import agreement_splits
from tests.pruning import tiny

FAMILIES = ("bert", "roberta", "distilbert")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[PreTrainedModel, EncoderShape, list[dict]]]:
    """Of each family a model with outliers, as trained ones have, and batches of sentences with padding."""
    folder = tmp_path_factory.mktemp("models")
    found = {}
    for family in FAMILIES:
        path = tiny.make(family, folder, head=True)
        model = AutoModelForSequenceClassification.from_pretrained(path).eval()
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if ".layer." in name and name.endswith("weight") and parameter.dim() == 2:
                    parameter.mul_(4)
                if "LayerNorm.weight" in name or "layer_norm.weight" in name:
                    parameter.copy_(0.5 + torch.rand(parameter.shape, generator=generator))
                    parameter[3] = 6.0
                if name.endswith("bias") and parameter.dim() == 1:
                    parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        tokenizer = AutoTokenizer.from_pretrained(path)
        texts = [text for (text,) in agreement_splits(96, 8, seed=3)["train"].sentences]
        batches = [
            dict(tokenizer(texts[i : i + 32], padding=True, truncation=True, max_length=32, return_tensors="pt"))
            for i in range(0, 96, 32)
        ]
        found[family] = (model, load_shape(str(path)), batches)
    return found


def integers_of(
    models: dict, family: str, bits: int = 8, ranges: RangeChoice = RangeChoice.MSE, correct: bool = True
) -> tuple[Quantised, IntegerClassifier]:
    model, shape, batches = models[family]
    observed = observe(model, shape, batches, seed=0)
    quantised = fold(
        model, shape, choose_grids(model, shape, observed, bits, ranges), observed, bits, correct=correct
    )
    return quantised, IntegerClassifier(model, shape, quantised.encoder, quantised.scales)


@pytest.mark.parametrize("ranges", list(RangeChoice))
@pytest.mark.parametrize("family", FAMILIES)
def test_the_integer_model_is_near_the_float_one(models: dict, family: str, ranges: RangeChoice) -> None:
    """Rounding to 254 steps over k standard deviations each side leaves 6.02·8 + 4.77 − 20·log₁₀ k dB.

    That is 37 dB at k = 8. A matrix's result has three such errors (input, weight, result) and the features' unequal
    ranges: 25 dB leave room for ranges four times as wide. A layer has six matrices and two LayerNorms one after
    another: 15 dB. A wrong scale, zero or bias anywhere leaves a few dB at best.
    """
    model, _, batches = models[family]
    quantised, integer = integers_of(models, family, ranges=ranges)
    assert min(quantised.noise.values()) > 25
    for batch in batches:
        present = batch["attention_mask"].bool()
        with torch.no_grad():
            wanted = model(**batch, output_hidden_states=True)
        for goal, found in zip(wanted.hidden_states[1:], integer.states(batch), strict=True):
            tokens = goal[present]
            error = (tokens - found[present]).square().sum() / (tokens - tokens.mean(0)).square().sum()
            assert -10 * math.log10(error) > 15


def random_grid(seed: int, features: int) -> Grid:
    return Grid(0.01 + 0.02 * torch.rand(features, generator=torch.Generator().manual_seed(seed)))


def test_attention_is_pytorchs_on_the_same_numbers(models: dict) -> None:
    """With Q, K and V already on their grids, three errors are left: scores' steps, exponentials, the result.

    A weight is within 0.85 of 127 (docstring of ``exponentials``), so the mean of values up to 127·s is within
    2·0.85·127·s/127 · (share of the weights that are not the largest) < 1.7·s, and rounding adds half a step.
    """
    model, shape, batches = models["bert"]
    seen = observe(model, shape, batches, seed=0)
    grid = choose_grids(model, shape, seen, 8, RangeChoice.MAX)[0][0]
    # Peaked and flat heads alike.
    for sharpness in (0.2, 1.0, 4.0):
        scale = torch.full((32,), 0.02 * sharpness)
        value = random_grid(1, 32)
        grid = replace(grid, query=Grid(scale), key=Grid(scale), value=value, context=Grid(value.scale / 1.5))
        q, k, v = (torch.randint(-84, 85, (2, 11, 32), generator=torch.Generator().manual_seed(n)) for n in range(3))
        present = torch.ones(2, 11, dtype=torch.bool)
        found = _attention(grid, 2)(q, k, v, present) * grid.context.scale

        def by_head(tensor: Tensor, scale: Tensor) -> Tensor:
            return (tensor * scale).unflatten(-1, (2, 16)).transpose(1, 2)

        wanted = torch.nn.functional.scaled_dot_product_attention(
            by_head(q, scale), by_head(k, scale), by_head(v, value.scale)
        )
        error = (found - wanted.transpose(1, 2).flatten(2)).abs() / value.scale
        assert error.max() < 1.7 + 0.5 / 1.5


@pytest.mark.parametrize("epsilon", [1e-12, 0.3])
def test_a_norm_is_pytorchs_on_the_same_numbers(epsilon: float) -> None:
    """Residual sum and LayerNorm on grids: within a step of torch's, also where ε weighs as much as the variance."""
    features = 48
    generator = torch.Generator().manual_seed(0)
    module = torch.nn.LayerNorm(features, eps=epsilon)
    with torch.no_grad():
        module.weight.copy_(torch.randn(features, generator=generator))
        module.bias.copy_(torch.randn(features, generator=generator))
    left, right, result = random_grid(1, features), random_grid(2, features), random_grid(3, features)
    result = Grid(result.scale * 2)
    x, y = (torch.randint(-40, 41, (20, features), generator=generator) for _ in range(2))
    found = _norm(module, left, right, result, _shift(float(_norm_gain(module, result).abs().max()), 65535))(x, y)
    with torch.no_grad():
        wanted = module(x * left.scale + y * right.scale) / result.scale
    assert (found - wanted.clamp(-127, 127)).abs().max() < 0.5 + 0.1


def test_padding_changes_nothing(models: dict) -> None:
    quantised, _ = integers_of(models, "bert")
    generator = torch.Generator().manual_seed(0)
    state = torch.randint(-127, 128, (1, 9, 32), generator=generator)
    alone = [*quantised.encoder(state, torch.ones(1, 9, dtype=torch.bool))]
    padded = torch.cat([state, torch.randint(-127, 128, (1, 5, 32), generator=generator)], dim=1)
    present = torch.arange(14)[None] < 9
    for one, two in zip(alone, quantised.encoder(padded, present), strict=True):
        assert torch.equal(one, two[:, :9])


def half_up(numerator: int, shift: int) -> int:
    return (2 * numerator + 2**shift) // 2 ** (shift + 1)


def clip(value: int) -> int:
    return max(-127, min(127, value))


def slow_layer(layer: Layer, state: list[list[int]]) -> list[list[int]]:
    """One encoder layer on one sentence, number by number, from the definitions alone."""

    def linear(part: object, rows: list[list[int]]) -> list[list[int]]:
        w, b, m, s = (getattr(part, n).tolist() for n in ("weight", "bias", "multiplier", "shift"))
        return [
            [
                clip(half_up((sum(x * y for x, y in zip(row, w[n], strict=True)) + b[n]) * m[n], s[n]))
                for n in range(len(w))
            ]
            for row in rows
        ]

    def norm(part: object, left: list[list[int]], right: list[list[int]]) -> list[list[int]]:
        g, h, gain, offset = (getattr(part, n).tolist() for n in ("residual_gain", "added_gain", "gain", "offset"))
        shift, epsilon = part.shift.item(), part.epsilon.item()
        multiplier, places = mean_constants(len(g))
        found = []
        for a, b in zip(left, right, strict=True):
            t = [half_up(x * gx + y * gy, 6) for x, y, gx, gy in zip(a, b, g, h, strict=True)]
            mean = half_up(sum(t) * multiplier, places)
            d = [value - mean for value in t]
            variance = max(sum(v * v for v in d) + epsilon, 1)
            half = (variance.bit_length() + 1) // 2
            root = math.isqrt(variance * 4**16 // 4**half)
            r = min((2**31 - 1) // root * 2**18 // 2**half, 2**24 - 1)
            n = [max(-32767, min(32767, half_up(v * r, 18))) for v in d]
            found.append([clip(half_up(v * x + y, shift)) for v, x, y in zip(n, gain, offset, strict=True)])
        return found

    query, key, value = (linear(getattr(layer, n), state) for n in ("query", "key", "value"))
    heads = layer.attention.heads
    width = len(query[0]) // heads
    octave = [math.floor(127 * 2 ** (7 - i / 128) + 0.5) for i in range(128)]
    table = [half_up(octave[i % 128], 7 + i // 128) for i in range(1024)]
    context = [[0] * len(query[0]) for _ in state]
    for head in range(heads):
        m, s, n, p = (
            getattr(layer.attention, name)[head].item()
            for name in ("score_multiplier", "score_shift", "mean_numerator", "mean_shift")
        )
        part = range(head * width, (head + 1) * width)
        for i, q in enumerate(query):
            scores = [half_up(sum(q[c] * k[c] for c in part) * m, s) for k in key]
            scores = [max(-32767, min(32767, score)) for score in scores]
            e = [table[min(1023, max(scores) - score)] for score in scores]
            bits = sum(e).bit_length()
            quotient = n // (sum(e) * 2 ** (16 - bits))
            for c in part:
                total = sum(x * v[c] for x, v in zip(e, value, strict=True))
                context[i][c] = clip(half_up(total * quotient, p - 16 + bits))
    middle = norm(layer.attention_norm, state, linear(layer.attention_output, context))
    tables, which = layer.activation.tables.tolist(), layer.activation.which.tolist()
    inner = [[tables[which[n]][v + 128] for n, v in enumerate(row)] for row in linear(layer.ffn_in, middle)]
    return norm(layer.ffn_norm, middle, linear(layer.ffn_out, inner))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_bit_is_that_of_the_definitions(models: dict, family: str) -> None:
    quantised, _ = integers_of(models, family)
    state = torch.randint(-127, 128, (1, 6, 32), generator=torch.Generator().manual_seed(2))
    wanted = state[0].tolist()
    for layer, found in zip(
        quantised.encoder.layers, quantised.encoder(state, torch.ones(1, 6, dtype=torch.bool)), strict=True
    ):
        wanted = slow_layer(layer, wanted)
        assert found[0].tolist() == wanted


def test_constants_are_stored_and_rebuilt(models: dict) -> None:
    quantised, _ = integers_of(models, "bert")
    files = {name: stored(tensor) for name, tensor in constants(quantised.encoder)}
    assert files["layers.0.query.weight"].dtype == torch.int8
    again = rebuild(Encoder, files)
    for (name, one), (other, two) in zip(constants(quantised.encoder), constants(again), strict=True):
        assert name == other
        assert torch.equal(one, two)


def test_constants_fit_their_widths(models: dict) -> None:
    """Bits of every kind of constant, as the hardware has them."""
    bits = {
        "weight": 8,
        "bias": 32,
        "multiplier": 17,
        "shift": 7,
        "tables": 8,
        "gain": 17,
        "residual_gain": 17,
        "added_gain": 17,
        "score_multiplier": 17,
        "mean_numerator": 32,
        "mean_shift": 7,
        "offset": 32,
    }
    for family in FAMILIES:
        quantised, _ = integers_of(models, family)
        for name, tensor in constants(quantised.encoder):
            limit = 1 << (bits.get(name.rpartition(".")[2], 48) - 1)
            assert -limit < tensor.min() <= tensor.max() < limit, name


def test_int4_weights_stay_within_7(models: dict) -> None:
    quantised, _ = integers_of(models, "bert", bits=4)
    for name, tensor in constants(quantised.encoder):
        if name.endswith(".weight"):
            assert tensor.abs().max() <= 7
            assert tensor.unique().numel() > 8


def test_corrected_biases_have_no_mean_error(models: dict) -> None:
    """Int4 leaves a mean error on the observed sentences; taking it out of the bias makes the results better."""
    _, shape, _ = models["bert"]
    plain, _ = integers_of(models, "bert", bits=4, correct=False)
    corrected, _ = integers_of(models, "bert", bits=4)
    assert sum(corrected.noise.values()) > sum(plain.noise.values())
    assert len(plain.noise) == 6 * shape.layers


def observed(values: Tensor) -> Observed:
    return Observed(values.amin(0), values.amax(0), values)


def test_ranges_by_hand() -> None:
    """20,000 values evenly from −1 to 1, then one of 50 among them, then the even ones alone."""
    values = torch.linspace(-1, 1, 20_000)[:, None].clone()
    assert 127 * tensor_scale(observed(values), RangeChoice.MSE) == pytest.approx(1)
    values[0, 0] = 50.0
    found = {choice: 127 * tensor_scale(observed(values), choice) for choice in RangeChoice}
    assert found[RangeChoice.MAX] == pytest.approx(50)
    assert found[RangeChoice.PERCENTILE] == pytest.approx(1, rel=1e-3)
    # At c·50 the one value costs (1 − c)²·50² / 20,000, and rounding the others (c·50/127)² / 12 each.
    cost = {c: (1 - c) ** 2 * 50**2 / 20_000 + (c * 50 / 127) ** 2 / 12 for c in (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)}
    assert found[RangeChoice.MSE] == pytest.approx(50 * min(cost, key=lambda c: cost[c]), rel=1e-6)
    assert tensor_scale(observed(torch.zeros(5, 2)), RangeChoice.MSE) > 0


def test_features_are_evened_out_where_it_pays() -> None:
    """A feature a hundred times as large as the others would leave them three bits."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(400, 16, generator=generator)
    values[:, 5] *= 100
    weight = torch.randn(8, 16, generator=generator)
    weight[:, 5] /= 100
    scale = feature_scales(observed(values), [weight], 8, RangeChoice.MAX)
    assert scale[5] > 20 * scale[0]


def test_far_reaching_features_get_a_table_of_their_own() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(600, 32, generator=generator)
    values[:20, 7] = 40.0
    weight = torch.randn(8, 32, generator=generator)
    weight[:, 7] /= 30
    activation = torch.nn.functional.gelu
    reference = activation(values) @ weight.T
    tables = activation_tables(observed(values), activation, weight, 8, reference, RangeChoice.MSE)
    assert tables.wide.nonzero().flatten().tolist() == [7]
    assert tables.spans[0].high < 6
    assert tables.spans[1].high == pytest.approx(40)
    even = activation_tables(observed(values[20:]), activation, weight, 8, reference[20:], RangeChoice.MSE)
    assert even.spans[1].high < 6


def test_features_that_nothing_reads_do_not_widen_the_range_of_the_others() -> None:
    """Their columns are pruned; they may be any numbers."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(600, 32, generator=generator)
    values[:, 7] = 500 + 50 * torch.randn(600, generator=generator)
    values[:, 9] = 80.0
    weight = torch.randn(8, 32, generator=generator)
    weight[:, [7, 9]] = 0
    activation = torch.nn.functional.gelu
    reference = activation(values) @ weight.T
    tables = activation_tables(observed(values), activation, weight, 8, reference, RangeChoice.MSE)
    assert max(span.high for span in tables.spans) < 6
    scale, mean_scale = value_scales(observed(values), observed(values), weight, 8, RangeChoice.MAX)
    others = torch.ones(32, dtype=torch.bool)
    others[[7, 9]] = False
    assert (127 * scale[others]).max() < 6
    assert (127 * mean_scale[others]).max() < 6
    # Not even where all are pruned: then there is nothing to choose by.
    none = activation_tables(observed(values), activation, weight * 0, 8, reference, RangeChoice.MSE)
    assert none.spans[0].high > 0


def test_weights_are_quantised_by_least_error() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(6, 300, generator=generator)
    weight[0] = 0
    for bits in (8, 4):
        integers, scale = quantise_weight(weight, bits)
        plain, plain_scale = quantise_weight(weight, bits, searched=False)
        error = (integers * scale[:, None] - weight).square().sum(1)
        assert (error <= (plain * plain_scale[:, None] - weight).square().sum(1) + 1e-9).all()
        assert (scale[1:] <= plain_scale[1:] + 1e-9).all()
    assert (scale[1:] < 0.9 * plain_scale[1:]).all()  # at 4 bits the largest weights are worth clipping
    assert integers[0].abs().max() == 0


def test_an_unknown_activation_is_refused(models: dict) -> None:
    model, shape, batches = models["bert"]
    seen = observe(model, shape, batches, seed=0)
    model.config.hidden_act = "wavelet"
    try:
        with pytest.raises(InputError, match="hidden_act: unknown activation"):
            choose_grids(model, shape, seen, 8, RangeChoice.MAX)
    finally:
        model.config.hidden_act = "gelu"


def test_constants_out_of_range_name_layer_and_matrix(models: dict) -> None:
    model, shape, batches = models["bert"]

    def told(model: PreTrainedModel, change: dict[str, Grid]) -> str:
        observed = observe(model, shape, batches, seed=0)
        (first, second), last = choose_grids(model, shape, observed, 8, RangeChoice.MAX)
        with pytest.raises(InputError) as caught:
            fold(model, shape, ([first, replace(second, **change)], last), observed, 8)
        return str(caught.value)

    loud = copy.deepcopy(model)
    with torch.no_grad():
        for part in ("query", "key"):
            loud.get_parameter(f"bert.encoder.layer.1.attention.self.{part}.weight").mul_(3e4)
    assert re.search(
        r"bert: encoder\.layer\.1: attention: cannot be made integer: head 0: a step of its scores against a step of"
        r" softmax; its queries reach [\d.e+]+ and its keys [\d.e+]+: factor [\d.e+]+ is not above 0 and below 16384",
        told(loud, {}),
    )
    nothing = Grid(torch.full((32,), 1e-12))
    assert re.search(
        r"bert: encoder\.layer\.1\.output\.dense: cannot be made integer: row 0: a step of its sums against a step of"
        r" its results; its weights reach [\d.e-]+, its bias [\d.e-]+, what it reads [\d.e+-]+, its results on the"
        r" calibration sentences 1\.27e-10: factor [\d.e+]+ is not",
        told(model, {"fed": nothing}),
    )
    line = told(model, {"middle": nothing})
    assert (
        "encoder.layer.1.attention.output.LayerNorm: cannot be made integer: gains against a step of its res" in line
    )
    line = told(model, {"value": Grid(torch.full((32,), 1e12))})
    assert "encoder.layer.1.attention.self.value: " in line or "encoder.layer.1: attention: " in line


def test_an_epsilon_beyond_the_squares_is_refused() -> None:
    layer_norm = torch.nn.LayerNorm(8, eps=1.0)
    small, plain = Grid(torch.full((8,), 1e-9)), Grid(torch.full((8,), 1e-2))
    with pytest.raises(ValueError, match=r"ε = 1 is [\d.e+]+ squared steps of its sums, not below 2\^40; they reach"):
        _norm(layer_norm, small, small, plain, 8)
    _norm(layer_norm, plain, plain, plain, 8)


def test_observing_sees_every_token_but_no_padding(models: dict, tmp_path: Path) -> None:
    model, shape, batches = models["bert"]
    seen = observe(model, shape, batches, seed=0)
    with torch.no_grad():
        states = [model(**batch, output_hidden_states=True).hidden_states for batch in batches]
    for layer in range(shape.layers):
        tokens = torch.cat([s[layer][b["attention_mask"].bool()] for s, b in zip(states, batches, strict=True)])
        assert torch.allclose(seen[layer]["input"].high, tokens.amax(0))
        assert torch.allclose(seen[layer]["input"].low, tokens.amin(0))
    module = model.bert.encoder.layer[1].intermediate.dense
    assert torch.allclose(module(seen[1]["middle"].sample), seen[1]["ffn_in"].sample, atol=1e-5)
