"""What float activations look like: run calibration sentences and look at every tensor that will be integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from codesign.models import EncoderShape
from codesign.pruning.encoder import layer_modules
from codesign.tasks.evaluate import Batches, unseen

TAPS = (
    "input",
    "query",
    "key",
    "value",
    "context",
    "attention_output",
    "middle",
    "ffn_in",
    "ffn_out",
    "output",
)
"""The tensors of a layer, in the order of computing: all but ``input`` and ``context`` are results of a module."""

SAMPLE = 1024
"""Tokens kept whole, for choices that need more than a tensor's extremes."""


@dataclass(frozen=True)
class Observed:
    """One tensor over all calibration tokens.

    Attributes:
        low, high: Extremes per feature.
        sample: Some tokens × features, the same tokens in every tensor.
    """

    low: Tensor
    high: Tensor
    sample: Tensor

    @property
    def magnitude(self) -> Tensor:
        """Largest absolute value per feature."""
        return torch.maximum(self.low.abs(), self.high.abs())


@torch.no_grad()
def observe(
    model: PreTrainedModel,
    shape: EncoderShape,
    batches: Sequence[dict[str, Tensor]],
    *,
    seed: int,
    shown: Callable[[Batches, int], Batches] = unseen,
) -> list[dict[str, Observed]]:
    """Every tensor of ``TAPS``, per layer.

    Args:
        model: Float classifier; put into evaluation mode.
        shape: Its encoder.
        batches: Tokenised sentences with attention mask.
        seed: Of the choice of the sampled tokens.
        shown: Passes batches through, given how many there are; for a progress bar.
    """
    model.eval()
    seen: list[dict[str, list[Tensor]]] = [{tap: [] for tap in TAPS} for _ in range(shape.layers)]
    low: list[dict[str, Tensor]] = [{} for _ in range(shape.layers)]
    high: list[dict[str, Tensor]] = [{} for _ in range(shape.layers)]
    present = torch.zeros(0)
    chosen = torch.zeros(0)

    def look(number: int, tap: str) -> Callable[[Tensor], None]:
        def take(tensor: Tensor) -> None:
            tokens = tensor[present].float()
            least, most = tokens.amin(0), tokens.amax(0)
            low[number][tap] = torch.minimum(low[number].get(tap, least), least)
            high[number][tap] = torch.maximum(high[number].get(tap, most), most)
            seen[number][tap].append(tokens[chosen].cpu())

        return take

    def before(take: Callable[[Tensor], None]) -> Callable[[Any, tuple[Tensor, ...]], None]:
        return lambda _, given: take(given[0])

    def after(take: Callable[[Tensor], None]) -> Callable[[Any, Any, Tensor], None]:
        return lambda _, __, result: take(result)

    hooks = []
    for number, modules in enumerate(layer_modules(model, shape)):
        for tap, module in (("input", "query"), ("context", "attention_output")):
            hooks.append(modules[module].register_forward_pre_hook(before(look(number, tap))))
        named = {"middle": "attention_norm", "output": "ffn_norm"}
        for tap in TAPS:
            if tap not in ("input", "context"):
                hooks.append(modules[named.get(tap, tap)].register_forward_hook(after(look(number, tap))))
    try:
        tokens = sum(int(batch["attention_mask"].sum()) for batch in batches)
        generator = torch.Generator().manual_seed(seed)
        for batch in shown(iter(batches), len(batches)):
            present = batch["attention_mask"].bool()
            chosen = torch.rand(int(present.sum()), generator=generator) < SAMPLE / tokens
            model(**{name: tensor for name, tensor in batch.items() if name != "labels"})
    finally:
        for hook in hooks:
            hook.remove()
    return [
        {tap: Observed(low[n][tap], high[n][tap], torch.cat(seen[n][tap])) for tap in TAPS}
        for n in range(shape.layers)
    ]
