"""What the group lasso costs per training step: ``python -m benchmarks.penalty``.

Trains encoders of 384 and 768 width on random sentences and alternates plain steps with steps that are followed by
the penalty's proximal step, in blocks of 16×16 and 32×32. Prints the ratio of the medians; the goal is at most 1.10.
Encoders are two layers deep and their vocabulary is small: cheaper dense steps, hence a stricter ratio.
"""

from __future__ import annotations

import statistics
import time

import torch
from transformers import BertConfig, BertForSequenceClassification

from codesign.models import EncoderShape
from codesign.pruning.encoder import encoder_matrices
from codesign.pruning.regulariser import GroupLasso
from codesign.pruning.training import use_bf16

SENTENCES, TOKENS, STEPS = 32, 64, 12


def main() -> None:
    """Measure and print."""
    bf16, why = use_bf16("auto")
    print(f"{SENTENCES} sentences of {TOKENS} tokens, {'bfloat16 autocast' if bf16 else 'float32'} ({why})")
    for hidden in (384, 768):
        for side in (16, 32):
            dense, lasso = measure(hidden, side, bf16)
            print(
                f"{hidden} wide, {side}×{side} blocks: dense step {dense * 1000:.1f} ms,"
                f" with penalty {lasso * 1000:.1f} ms, ratio {lasso / dense:.3f}"
            )


def measure(hidden: int, side: int, bf16: bool) -> tuple[float, float]:
    """Median seconds of a plain step and of a step with the penalty, measured in turns."""
    torch.manual_seed(0)
    shape = EncoderShape("bench", "bert", hidden, layers=2, ffn=4 * hidden, heads=hidden // 64)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=1000,
            hidden_size=hidden,
            num_hidden_layers=shape.layers,
            intermediate_size=shape.ffn,
            num_attention_heads=shape.heads,
        )
    )
    matrices = encoder_matrices(model, shape)
    lasso = GroupLasso(matrices, (side, side), dict.fromkeys(matrices, 1e-4))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    ids = torch.randint(0, 1000, (SENTENCES, TOKENS))
    labels = torch.randint(0, 2, (SENTENCES,))
    seconds: tuple[list[float], list[float]] = ([], [])
    for number in range(2 * STEPS):
        began = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = model(input_ids=ids, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if number % 2:
            lasso.step(1e-5)
        seconds[number % 2].append(time.perf_counter() - began)
    # The first of each warms up.
    return statistics.median(seconds[0][2:]), statistics.median(seconds[1][2:])


if __name__ == "__main__":
    main()
