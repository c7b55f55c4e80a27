"""What docs/extending.md tells a reader to do works as it stands there."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, ElectraConfig, ElectraForSequenceClassification

import codesign.models.families as package
from codesign.design.folder import read_design
from codesign.models.family import families
from codesign.shipped import data_folder
from tests.conftest import Outcome
from tests.pruning import tiny

Run = Callable[..., Outcome]
PAGE = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()


@pytest.fixture
def electra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's family, among the others."""
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.S)
    folder = tmp_path / "families"
    folder.mkdir()
    (folder / "electra.py").write_text(source)
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(folder)])
    families.cache_clear()
    yield
    families.cache_clear()
    sys.modules.pop(f"{package.__name__}.electra", None)


def test_the_family_on_the_page_goes_through_prune_and_quantize(codesign: Run, electra: None, tmp_path: Path) -> None:
    model = tiny.make("bert", tmp_path)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 56, "num_attention_heads": 2}
    torch.manual_seed(0)
    made = ElectraForSequenceClassification(ElectraConfig(vocab_size=1000, embedding_size=32, **sizes))
    made.base_model.save_pretrained(model)
    told = codesign(*tiny.arguments(model, tmp_path / "run", "--compression", 2))
    assert told.code == 0, told.err
    found = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run")
    assert type(found) is ElectraForSequenceClassification
    told = codesign("quantize", tmp_path / "run", "-o", tmp_path / "design", "--calibration", 64)
    assert told.code == 0, told.err
    layers = read_design(tmp_path / "design").document.layers
    assert [layer.name for layer in layers] == [
        name
        for name, module in found.base_model.encoder.named_modules(prefix="encoder")
        if hasattr(module, "weight") and module.weight.ndim == 2
    ]


def test_a_copied_board_is_a_board(codesign: Run, tmp_path: Path) -> None:
    board = tmp_path / "my-board.yaml"
    shutil.copy(data_folder("boards") / "zcu104.yaml", board)
    board.write_text(board.read_text().replace("name: zcu104", "name: mine").replace("dsp: 1728", "dsp: 700"))
    told = codesign("boards", board)
    assert told.code == 0, told.err
    assert "700" in told.out
    told = codesign(
        "plan", "--board", board, "--shape", "hidden=384,layers=6,ffn=1536,heads=12", "-o", tmp_path / "p"
    )
    assert told.code == 0, told.err
    board.write_text(board.read_text().replace("dsp: 700", "dsp: -1"))
    told = codesign("boards", board)
    assert told.code == 2
    assert "my-board.yaml: device.dsp" in told.err
    # Every field that the page explains is one of the file's.
    for field in re.findall(r"^\| `(\w+)`", PAGE, flags=re.M):
        assert re.search(rf"^{field}:", board.read_text(), flags=re.M), field
