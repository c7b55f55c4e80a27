"""What a block is worth: its norm, or the loss that its removal costs, to second order.

Second order follows the optimal brain surgeon (Hassibi and Stork, 1993) per block, as oBERT does for transformers
(Kurtic et al., 2022, arXiv 2203.07259), with the curvature of a linear layer y = W·x + b factored as in K-FAC
(Martens and Grosse, 2015, arXiv 1503.05671), its output side diagonal:

    H = diag(E[g²]) ⊗ A,   A = E[‖g‖²·(x, 1)(x, 1)ᵀ] / E[‖g‖²],   g = ∂loss/∂y of one token

A counts each token by how much the loss depends on it: in the last layer, of which the classifier reads only the
first token, that is what makes the factors fit. Rows of W are then independent, and removing the columns G of one
block row costs at best, the row's other weights and its bias making up for them,

    Σ_r E[g_r²] · w_rG · ((A⁻¹)_GG)⁻¹ · w_rGᵀ          (A over the inputs that the block row still has)

``refit_`` is that making up, for all blocks of a matrix removed at once: the least-squares weights on the inputs
that are left, (V − W)·A·(V − W)ᵀ → min. It has a closed form and needs no training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from codesign.pruning.distillation import read_states
from codesign.pruning.encoder import Matrices
from codesign.pruning.groups import Block, expand, grid, group_norms

DAMPING = 1e-2
"""Added to A's diagonal for importances, in parts of its mean: inputs seen together too seldom to be told apart."""
REFIT_DAMPING = 1e-3
"""The same for the refit, which may trust small differences more, since it cannot make the fit worse."""

Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Curvature:
    """Second moments of one linear layer.

    Attributes:
        inputs: A, (K + 1) × (K + 1), the constant 1 as the last input; tokens weighted by their gradient.
        outputs: E[g²], N.
    """

    inputs: Tensor
    outputs: Tensor


def mean_norms(matrices: Matrices, block: Block) -> dict[str, float]:
    """The mean of ‖W_g‖₂ over the blocks of each matrix."""
    return {name: float(group_norms(module.weight.detach(), block).mean()) for name, module in matrices.items()}


def relative_norms(matrices: Matrices, block: Block, means: Mapping[str, float]) -> dict[str, Tensor]:
    """‖W_g‖₂ of every block over a mean of its matrix: norms of different matrices have no common scale.

    Args:
        matrices: The layers.
        block: R, C.
        means: Per matrix; those of the dense model, since a penalty shrinks whole matrices.
    """
    return {
        name: group_norms(module.weight.detach(), block) / max(means[name], 1e-12)
        for name, module in matrices.items()
    }


def measure_curvature(
    matrices: Matrices, batches: Iterable[Batch], objective: Callable[[Batch], Tensor]
) -> dict[str, Curvature]:
    """Second moments of inputs and output gradients over the tokens of batches, padding left out.

    Args:
        matrices: The layers.
        batches: Model inputs with ``attention_mask``.
        objective: A scalar whose gradients' second moments are the loss's curvature, such as the log-likelihood
            of labels drawn from the model's own prediction (the Fisher information).
    """
    sums: dict[str, tuple[Tensor, Tensor]] = {}
    tokens = 0.0
    present = torch.empty(0)

    def watch(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            x = inputs[0].detach()

            def on_gradient(gradient: Tensor) -> None:
                seen = functional.pad(x.float().flatten(0, -2), (0, 1), value=1.0)
                squares = gradient.detach().float().flatten(0, -2).square() * present
                inputs, outputs = sums.setdefault(
                    name, (seen.new_zeros(2 * seen.shape[1:]), squares.new_zeros(squares.shape[1:]))
                )
                inputs.addmm_((seen * squares.sum(1, keepdim=True)).T, seen)
                outputs.add_(squares.sum(0))

            output.register_hook(on_gradient)

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in matrices.items()]
    try:
        for batch in batches:
            present = batch["attention_mask"].flatten()[:, None].float()
            tokens += float(present.sum())
            value = objective(batch)
            torch.autograd.grad(value, [module.weight for module in matrices.values()], allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    # The constant's own entry of A is the sum of the tokens' weights.
    return {
        name: Curvature(inputs / inputs[-1, -1].clamp_min(1e-30), outputs / tokens)
        for name, (inputs, outputs) in sums.items()
    }


def second_order(weight: Tensor, curvature: Curvature, mask: Tensor, block: Block) -> Tensor:
    """The loss that removing each block costs at best, block rows × block columns; 0 for blocks already gone.

    Args:
        weight: N × K.
        curvature: Of this layer.
        mask: Blocks that still exist.
        block: R, C.
    """
    rows, cols = grid(weight, block)
    height, width = block
    inputs = _padded(curvature.inputs, weight, block, DAMPING)
    padded = functional.pad(
        weight.detach().float(), (0, cols * width - weight.shape[1], 0, rows * height - weight.shape[0])
    )
    scale = functional.pad(curvature.outputs, (0, rows * height - weight.shape[0])).view(rows, height)
    result = torch.zeros(rows, cols, device=weight.device)
    whole: Tensor | None = None
    for row in range(rows):
        kept = mask[row].nonzero()[:, 0]
        if not len(kept):
            continue
        if len(kept) == cols:
            # Nothing pruned yet: every such block row shares one inverse.
            whole = _inverse(inputs) if whole is None else whole
            inverse = whole
        else:
            columns = _columns(kept, width, cols)
            inverse = _inverse(inputs[columns[:, None], columns])
        own = torch.arange(len(kept) * width, device=weight.device).view(-1, width)
        diagonal = inverse[own[:, :, None], own[:, None, :]]  # kept × C × C
        weights = padded[row * height : (row + 1) * height].view(height, cols, width)[:, kept].permute(1, 2, 0)
        costs = (weights * torch.linalg.solve(diagonal, weights)).sum(1)  # kept × R
        result[row, kept] = costs @ scale[row]
    return result


@torch.no_grad()
def refit_(module: nn.Linear, curvature: Curvature, before: Tensor, after: Tensor, block: Block) -> None:
    """Remove blocks from a layer and let the weights that stay in each block row, and the bias, make up for them.

    Args:
        module: Its weight and bias are changed.
        curvature: Of this layer, as ``measure_curvature`` gave it.
        before: Blocks that exist.
        after: Blocks that stay, a part of ``before``.
        block: R, C.
    """
    weight = module.weight
    height, width = block
    if module.bias is None:
        raise ValueError("a linear layer without bias is not handled")
    _, cols = grid(weight, block)
    inputs = _padded(curvature.inputs, weight, block, REFIT_DAMPING)
    missing = cols * width - weight.shape[1]
    joined = torch.cat([functional.pad(weight.float(), (0, missing)), module.bias.float()[:, None]], dim=1)
    for row in (before != after).any(dim=1).nonzero()[:, 0].tolist():
        columns = _columns(after[row].nonzero()[:, 0], width, cols)
        part = joined[row * height : (row + 1) * height]
        wanted = part @ inputs[:, columns]
        solved = torch.cholesky_solve(wanted.T, _cholesky(inputs[columns[:, None], columns])).T
        part.zero_()
        part[:, columns] = solved
    weight.copy_(joined[:, : weight.shape[1]])
    weight.mul_(expand(after, weight, block))
    module.bias.copy_(joined[:, -1])


def _columns(kept: Tensor, width: int, cols: int) -> Tensor:
    """Input numbers of the kept block columns, and the constant's, which stands behind the padding."""
    inputs = (kept[:, None] * width + torch.arange(width, device=kept.device)).flatten()
    return torch.cat([inputs, torch.tensor([cols * width], device=kept.device)])


def _padded(inputs: Tensor, weight: Tensor, block: Block, damping: float) -> Tensor:
    """A with damping, grown to whole blocks: padding inputs are always zero, so only damping stands there."""
    _, cols = grid(weight, block)
    features = weight.shape[1]
    width = cols * block[1]
    order = torch.cat([torch.arange(features), torch.tensor([width])])
    grown = torch.zeros(width + 1, width + 1, device=inputs.device)
    grown[order[:, None], order] = inputs
    grown.diagonal().add_(damping * inputs.diagonal()[:features].mean() + 1e-12)
    return grown


def _cholesky(matrix: Tensor) -> Tensor:
    """The factor of a positive definite matrix; damping grows until rounding no longer makes it indefinite."""
    damping = 0.0
    while True:
        factor, failed = torch.linalg.cholesky_ex(matrix + damping * torch.eye(len(matrix), device=matrix.device))
        if not failed:
            return factor
        damping = max(10 * damping, 1e-6 * float(matrix.diagonal().mean()))


def _inverse(matrix: Tensor) -> Tensor:
    return torch.cholesky_inverse(_cholesky(matrix))


def curvature_objective(
    model: nn.Module, *, regression: bool, hidden: float, temperature: float, generator: torch.Generator
) -> Callable[[Batch], Tensor]:
    """A scalar whose gradients' second moments are the curvature of the distillation loss.

    The prediction's part is that of the softened prediction: labels drawn from it (the Fisher information). A
    confident model's own prediction is so flat that every change of it looks cheap. The hidden states' part is the
    Gauss-Newton matrix of their relative errors, probed by random signs (Hutchinson); of the last layer only the
    first token, which is all that the classifier reads.

    Args:
        model: Run without dropout.
        regression: Whether the prediction is a value.
        hidden: Weight of the hidden states; 0 for none.
        temperature: That softens the prediction.
        generator: Of the random signs and labels.
    """

    def signs(like: Tensor) -> Tensor:
        drawn = torch.randint(0, 2, like.shape, generator=generator)
        return drawn.to(like) * 2 - 1

    def objective(batch: Batch) -> Tensor:
        inputs: dict[str, Any] = {key: value for key, value in batch.items() if key != "labels"}
        found = model(**inputs, output_hidden_states=hidden > 0)
        logits = found.logits.float()
        count = len(logits)
        if regression:
            value = (logits * signs(logits)).sum() / count**0.5
        else:
            logs = (logits / temperature).log_softmax(-1)
            drawn = torch.multinomial(logs.detach().exp().cpu(), 1, generator=generator).to(logs.device)
            value = -temperature * logs.gather(1, drawn).sum() / count**0.5
        if hidden > 0:
            for state, present in read_states(found.hidden_states, batch["attention_mask"]):
                token = present[..., None].float()
                variance = state.detach()[present].float().var()
                weight = (hidden / (variance * token.sum() * state.shape[-1])).sqrt()
                value = value + weight * (state.float() * token * signs(state)).sum()
        return value

    return objective
