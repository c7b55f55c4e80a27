"""The integer model of a design folder."""

from __future__ import annotations

import torch

from codesign.design.content import Design, unpacked_constants
from codesign.design.document import WEIGHTS
from codesign.errors import InputError
from codesign.quantisation.encoder import Encoder, rebuild


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
