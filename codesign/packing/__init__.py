"""Packing: a block-sparse integer matrix as the images that the hardware reads, and back."""

from codesign.packing.blocks import PackedMatrix, pack, unpack

__all__ = ["PackedMatrix", "pack", "unpack"]
