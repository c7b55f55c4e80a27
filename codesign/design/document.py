"""design.yaml: what a design is, as data."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from codesign.hardware.accelerator import Accelerator, WeightMemory
from codesign.hardware.resources import Resources
from codesign.models import EncoderShape
from codesign.names import BoardName, FileName, ModuleName, Part, Title

FORMAT = "codesign-design-5"
DESIGN = "design.yaml"
WEIGHTS = "weights.safetensors"
METRICS = "metrics.json"
SENTENCES = "sentences.safetensors"
"""The first sentences of the evaluation split as token numbers, one batch: what simulation is fed with."""
IMAGES = "images"
PARTS = ("query", "key", "value", "attention_output", "ffn_in", "ffn_out")
"""The matrices of a layer in the order of use, as their keys in weights.safetensors have them."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DesignLayer(_Strict):
    """One matrix of the encoder.

    ``key`` is the prefix of its constants in weights.safetensors; ``activation`` whether a table follows it.
    """

    name: ModuleName
    key: ModuleName
    out_features: int
    in_features: int
    blocks: int
    nonzero_blocks: int
    predicted_cycles: int
    weight_memory: WeightMemory
    activation: bool


class DesignPrediction(_Strict):
    """What the hardware model says: cycles and latency of a batch of whole sentences, resources as in board files."""

    cycles: int
    dense_cycles: int
    latency_ms: float
    resources: Resources


class Quantisation(_Strict):
    """How the integers were chosen.

    Attributes:
        ranges: How activation ranges were chosen: max, percentile or mse.
        calibration: Sentences that they were chosen on.
        trained_epochs: Epochs of quantisation-aware fine-tuning; 0 for none.
        layer_noise_db: Signal to quantisation noise of each layer's output, errors of earlier layers included.
        matrix_noise_db: Of each matrix's result on float inputs.
    """

    ranges: str
    calibration: int
    trained_epochs: float
    layer_noise_db: tuple[float, ...]
    matrix_noise_db: dict[str, float]


class DesignDocument(_Strict):
    """All of design.yaml.

    ``files`` has the SHA-256 of the other files; of the images, the manifest's, which has theirs. ``checksum`` is
    that of all other fields (``codesign.checksums``): it is what tells one design from another.
    """

    format: Literal["codesign-design-5"]
    codesign: str
    seed: int
    board: BoardName
    part: Part
    model: Title
    shape: EncoderShape
    task: Title
    tokens: int
    batch: int
    accelerator: Accelerator
    layers: tuple[DesignLayer, ...]
    predicted: DesignPrediction
    quantisation: Quantisation
    files: dict[FileName, str]
    checksum: str

    @property
    def matrix_engine(self) -> Accelerator:
        """The array as an accelerator of matrices alone, as ``codesign gen-hls`` makes it, for a batch."""
        return self.accelerator.for_matrices(self.tokens * self.batch)
