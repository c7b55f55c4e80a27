"""The models: the shape of an encoder and the names of its weight matrices, without any weights."""

from codesign.models.shape import EMBEDDED_DEFAULT, EncoderShape, Matrix, load_shape, parse_shape

__all__ = ["EMBEDDED_DEFAULT", "EncoderShape", "Matrix", "load_shape", "parse_shape"]
