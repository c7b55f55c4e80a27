"""What torch's fused attention costs a training step on a CPU: ``python -m benchmarks.attention``.

Trains an encoder of 384 width, without dropout, on random sentences, steps with fused and with plain attention in
turns, and prints the ratio of the medians. Above 1, plain attention is the quicker: it is what training takes on a
CPU (``codesign/pruning/training.py``).
"""

from __future__ import annotations

import statistics
import time

import torch
from transformers import BertConfig, BertForSequenceClassification

from codesign.pruning.training import use_bf16

SENTENCES, STEPS = 32, 12
LENGTHS = (24, 48, 72, 128)
"""Tokens of a batch's longest sentence."""
KINDS = ("sdpa", "eager")
"""Fused and plain, as transformers calls them."""


def main() -> None:
    """Measure and print."""
    bf16, why = use_bf16("auto")
    print(f"{SENTENCES} sentences, 384 wide, {'bfloat16 autocast' if bf16 else 'float32'} ({why})")
    for tokens in LENGTHS:
        fused, plain = measure(tokens, bf16)
        print(
            f"{tokens:4} tokens: fused {fused * 1000:.1f} ms, plain {plain * 1000:.1f} ms, ratio {fused / plain:.3f}"
        )


def measure(tokens: int, bf16: bool) -> tuple[float, float]:
    """Median seconds of a step with fused and with plain attention, measured in turns."""
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=1000,
        hidden_size=384,
        num_hidden_layers=2,
        num_attention_heads=12,
        intermediate_size=1536,
        hidden_dropout_prob=0.0,  # as where a model learns from another; with it, torch does not fuse
        attention_probs_dropout_prob=0.0,
    )
    model = BertForSequenceClassification(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    ids = torch.randint(0, 1000, (SENTENCES, tokens))
    present = torch.ones_like(ids)
    present[0, tokens // 2 :] = 0
    labels = torch.randint(0, 2, (SENTENCES,))
    seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for number in range(2 * STEPS):
        kind = KINDS[number % 2]
        model.set_attn_implementation(kind)
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(input_ids=ids, attention_mask=present, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        seconds[kind].append(time.perf_counter() - began)
    # The first of each warms up.
    fused, plain = (statistics.median(seconds[kind][2:]) for kind in KINDS)
    return fused, plain


if __name__ == "__main__":
    main()
