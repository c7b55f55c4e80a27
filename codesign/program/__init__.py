"""What the device does for a sentence: steps over buffers on chip, made once per design."""

from codesign.program.compile import compile_encoder
from codesign.program.steps import ArrayStep, Buffer, Kind, Memory, Program, VectorStep

__all__ = ["ArrayStep", "Buffer", "Kind", "Memory", "Program", "VectorStep", "compile_encoder"]
