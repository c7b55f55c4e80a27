"""The integer model of a design folder, by itself and between embedding and head."""

from __future__ import annotations

import torch
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging as transformers_logging

from codesign.design.content import Design, unpacked_constants
from codesign.design.document import WEIGHTS
from codesign.errors import InputError
from codesign.quantisation.classifier import IntegerClassifier
from codesign.quantisation.encoder import Encoder, rebuild


def load_classifier(design: Design, encoder: Encoder) -> IntegerClassifier:
    """A design's classifier: embedding and head in float, integers between.

    Args:
        design: The design folder.
        encoder: The integers.
    """
    transformers_logging.disable_progress_bar()
    model = AutoModelForSequenceClassification.from_pretrained(design.folder).eval()
    first, last = (torch.from_numpy(design.constants[f"scales.{name}"]) for name in ("embedding", "output"))
    return IntegerClassifier(model, design.document.shape, encoder, (first, *[last] * len(encoder.layers)))


def load_encoder(design: Design) -> Encoder:
    """The integer model.

    Raises:
        InputError: A constant is missing or does not fit.
    """
    found = {name: torch.from_numpy(array) for name, array in unpacked_constants(design).items()}
    try:
        return rebuild(Encoder, found)
    except KeyError as error:
        raise InputError("a constant is missing", file=design.folder / WEIGHTS, field=str(error.args[0])) from None
