from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from codesign.errors import InputError
from codesign.models import EMBEDDED_DEFAULT, EncoderShape, load_shape, parse_shape
from codesign.models.family import families

TINY = {
    "bert": {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "num_attention_heads": 4},
    "roberta": {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "num_attention_heads": 4},
    "distilbert": {"dim": 32, "n_layers": 2, "hidden_dim": 64, "n_heads": 4},
}


def write_config(folder: Path, **content: object) -> Path:
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def test_every_family_is_tested() -> None:
    assert set(families()) == set(TINY)


@pytest.mark.parametrize("family", sorted(TINY))
def test_matrices_are_the_linear_layers_that_transformers_builds(family: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModel

    config = AutoConfig.for_model(family, **TINY[family], vocab_size=50)
    model = AutoModel.from_config(config)
    config.save_pretrained(tmp_path)
    built = {
        name: (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and ".layer." in f".{name}"
    }
    shape = load_shape(str(tmp_path))
    assert {m.name: (m.out_features, m.in_features) for m in shape.matrices()} == built
    assert (shape.family, shape.hidden, shape.layers, shape.ffn, shape.heads) == (family, 32, 2, 64, 4)


def test_bert_base_has_the_known_number_of_weights() -> None:
    # 12 layers of 4·768² + 2·768·3072.
    shape = parse_shape("hidden=768,layers=12,ffn=3072,heads=12")
    assert sum(m.weights for m in shape.matrices()) == 84_934_656
    assert len(shape.matrices()) == 72


def test_attention_products_by_counting() -> None:
    shape = EncoderShape("x", "bert", hidden=8, layers=3, ffn=16, heads=2)
    tokens, head_width = 5, 4
    per_head = tokens * tokens * head_width  # one multiply-accumulate per score and feature
    assert shape.attention_macs(tokens) == 3 * 2 * (per_head + per_head)


def test_config_path_and_name(tmp_path: Path) -> None:
    write_config(tmp_path, model_type="bert", **TINY["bert"])
    assert load_shape(str(tmp_path / "config.json")) == load_shape(str(tmp_path)).__class__(
        "config.json", "bert", 32, 2, 64, 4
    )
    assert load_shape(str(tmp_path)).name == tmp_path.name


def test_shape_text() -> None:
    shape = parse_shape("layers=6, hidden=384,ffn=1536,heads=12,family=roberta,name=mine")
    assert shape == EncoderShape("mine", "roberta", 384, 6, 1536, 12)
    assert EMBEDDED_DEFAULT.hidden % EMBEDDED_DEFAULT.heads == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hidden=384,layers=6,ffn=1536", "heads: this field is missing"),
        ("hidden=384,layers=6,ffn=1536,heads=12,width=3", r"unknown field \(got 'width'\).*hidden"),
        ("hidden=384,hidden=384,layers=6,ffn=1536,heads=12", "given twice"),
        ("hidden=0,layers=6,ffn=1536,heads=12", r"hidden: not a size \(got '0'\); accepted: an integer from 1"),
        ("hidden=-4,layers=6,ffn=1536,heads=12", "hidden: not a size"),
        ("hidden=big,layers=6,ffn=1536,heads=12", "hidden: not a size"),
        ("hidden=384,layers=6,ffn=1536,heads=7", "heads: 7 heads do not divide 384"),
        ("hidden=384,layers=6,ffn=1536,heads=12,family=gpt2", "unknown model family.*bert, distilbert, roberta"),
        ("hidden", "not name=value"),
        ("", "not name=value"),
    ],
)
def test_bad_shape(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_shape(text)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model_type": "gpt2"}, r"config\.json: model_type: unknown model family \(got 'gpt2'\)"),
        ({"hidden_size": 3}, "model_type: unknown model family"),
        ({"model_type": "bert", "hidden_size": 32}, "num_hidden_layers: this field is missing"),
        ({"model_type": "bert", **TINY["bert"], "hidden_size": "wide"}, "hidden_size: not a size"),
        ({"model_type": "bert", **TINY["bert"], "hidden_size": True}, "hidden_size: not a size"),
        ({"model_type": "bert", **TINY["bert"], "num_attention_heads": 5}, "num_attention_heads: 5 heads"),
    ],
)
def test_bad_config(tmp_path: Path, content: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_shape(str(write_config(tmp_path, **content)))


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_shape(str(tmp_path))
    with pytest.raises(InputError, match=r"no config\.json there"):
        load_shape(str(tmp_path / "none"))
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(InputError, match="not a model configuration"):
        load_shape(str(tmp_path))


def test_a_hub_name_is_asked_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoConfig, BertConfig

    asked = []

    def answer(name: str) -> BertConfig:
        asked.append(name)
        return BertConfig(**TINY["bert"])

    monkeypatch.setattr(AutoConfig, "from_pretrained", answer)
    shape = load_shape("somebody/bert-tiny")
    assert asked == ["somebody/bert-tiny"]
    assert (shape.name, shape.hidden) == ("somebody/bert-tiny", 32)

    def refuse(name: str) -> BertConfig:
        raise OSError("no connection\nand more lines")

    monkeypatch.setattr(AutoConfig, "from_pretrained", refuse)
    with pytest.raises(InputError, match=r"hub gave no configuration: no connection \(got 'nobody/x'\).*--shape"):
        load_shape("nobody/x")


@pytest.mark.parametrize("family", sorted(TINY))
@pytest.mark.parametrize(
    ("field", "value", "accepted"),
    [
        ("is_decoder", True, "false"),
        ("is_encoder_decoder", True, "false"),
        ("add_cross_attention", True, "false"),
        ("cross_attention_hidden_size", 32, "null"),
        ("position_embedding_type", "relative_key", "absolute"),
        ("position_embedding_type", "alibi", "absolute"),
        ("pruned_heads", {"0": [1]}, "{}, null"),
        ("chunk_size_feed_forward", 4, "0"),
        ("auto_map", {"AutoModel": "modeling.Mine"}, "{}, null"),
        ("quantization_config", {"bits": 4}, "null"),
        ("ACTIVATION", "swiglu", "gelu, gelu_10, "),
        ("ACTIVATION", ["gelu"], "gelu, gelu_10, "),
        ("ACTIVATION", None, "gelu, gelu_10, "),
    ],
)
def test_configs_of_other_encoders(tmp_path: Path, family: str, field: str, value: object, accepted: str) -> None:
    name = families()[family].activation if field == "ACTIVATION" else field
    folder = write_config(tmp_path, model_type=family, **TINY[family], **{name: value})
    with pytest.raises(InputError) as caught:
        load_shape(str(folder))
    assert f"config.json: {name}: changes what the encoder computes" in str(caught.value)
    assert f"; accepted: {accepted}" in str(caught.value)


def test_what_transformers_writes_is_accepted(tmp_path: Path) -> None:
    """Every field of every family's config, at its default, and those that older versions wrote."""
    from transformers import AutoConfig

    old = {"position_embedding_type": "absolute", "pruned_heads": {}, "gradient_checkpointing": False}
    for family, sizes in TINY.items():
        content = AutoConfig.for_model(family, **sizes).to_dict() | old
        assert load_shape(str(write_config(tmp_path, **json.loads(json.dumps(content, default=str))))).hidden == 32
    sinusoidal = write_config(tmp_path, model_type="distilbert", **TINY["distilbert"], sinusoidal_pos_embds=True)
    assert load_shape(str(sinusoidal)).hidden == 32


@pytest.mark.parametrize(
    ("family", "config", "most"),
    [
        ("bert", {"max_position_embeddings": 64}, 64),
        ("distilbert", {"max_position_embeddings": 64}, 64),
        ("roberta", {"max_position_embeddings": 64, "pad_token_id": 1}, 62),
        ("roberta", {"max_position_embeddings": 64, "pad_token_id": 0}, 63),
    ],
)
def test_the_longest_sentence_of_a_config(tmp_path: Path, family: str, config: dict, most: int) -> None:
    folder = write_config(tmp_path, model_type=family, **TINY[family], **config)
    assert load_shape(str(folder), most).hidden == 32
    with pytest.raises(InputError, match=rf"--tokens: the model takes at most {most} tokens \(got {most + 1}\)"):
        load_shape(str(folder), most + 1)


@pytest.mark.parametrize("name", ['a"b', "a*/b", "a\\", "a\nb", "$(x)", "[x]", "a<b>", "a?b", "\u202ea", " a"])
def test_names_stand_in_generated_files(tmp_path: Path, name: str) -> None:
    """One that is typed is refused; a folder may be called anything, and its name is made harmless."""
    text = f"hidden=64,layers=1,ffn=128,heads=2,name={name}"
    if name != name.strip():
        assert parse_shape(text).name == name.strip()
    else:
        with pytest.raises(InputError, match="--shape: not a name that can stand in generated files"):
            parse_shape(text)
    folder = tmp_path / name.replace("/", "")
    folder.mkdir()
    sizes = {"hidden_size": 64, "num_hidden_layers": 1, "intermediate_size": 128, "num_attention_heads": 2}
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **sizes}))
    found = load_shape(str(folder)).name
    assert re.fullmatch(r"[\w ()._-]+", found)
    assert "b" in found or "a" in found or "x" in found


def test_ordinary_names_are_kept() -> None:
    for name in ("BERT-base", "my model (v2)", "org/model_1.0", "Größe"):
        assert parse_shape(f"hidden=64,layers=1,ffn=128,heads=2,name={name}").name == name
