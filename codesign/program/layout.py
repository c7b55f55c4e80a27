"""How activations lie in the device's memories: sizes that follow from the encoder's shape and the array's."""

from __future__ import annotations

from dataclasses import dataclass

from codesign.errors import InputError
from codesign.hardware.accelerator import Accelerator
from codesign.hardware.memories import ceil_div


@dataclass(frozen=True)
class Layout:
    """Sizes of an encoder on an array; R, C, L, Q as ever, D = R/Q and V features of the vector unit.

    Attributes:
        accelerator: The array.
        hidden, ffn, heads: Of the encoder.
    """

    accelerator: Accelerator
    hidden: int
    ffn: int
    heads: int

    def __post_init__(self) -> None:
        a = self.accelerator
        if not a.vector_rows:
            raise InputError("no vector unit", field="accelerator.vector_width", value=0, accepted="L or more")
        for field, value, of, whole in (
            ("requant_interval", self.drained, "the array's columns", a.cols),
            ("requant_interval", self.drained, "a head's features", self.head),
            ("vector_width", a.vector_rows, "the array's columns", a.cols),
        ):
            if whole % value:
                raise InputError(
                    f"{value} rows at a time do not divide {of}, {whole}",
                    field=f"accelerator.{field}",
                    value=getattr(a, field),
                    accepted=f"such that they do: R / Q and V divisors of {whole}",
                )
        if a.vector_rows % self.drained:
            raise InputError(
                f"{a.vector_rows} features at a time are no multiple of the {self.drained} that results come in",
                field="accelerator.vector_width",
                value=a.vector_width,
                accepted=f"a multiple of {self.drained * a.lanes}",
            )

    @property
    def head(self) -> int:
        """d, features of a head."""
        return self.hidden // self.heads

    @property
    def drained(self) -> int:
        """D = R / Q, features that leave the array at a time."""
        return self.accelerator.rows // self.accelerator.requant_interval

    @property
    def groups(self) -> int:
        """Token groups, the most."""
        return ceil_div(self.accelerator.max_tokens, self.accelerator.lanes)

    @property
    def state_columns(self) -> int:
        """Block columns of the residual stream."""
        return ceil_div(self.hidden, self.accelerator.cols)

    @property
    def inner_columns(self) -> int:
        """Block columns of the feed-forward part."""
        return ceil_div(self.ffn, self.accelerator.cols)

    @property
    def head_columns(self) -> int:
        """Block columns of a head: of Q and K."""
        return ceil_div(self.head, self.accelerator.cols)

    @property
    def head_rows(self) -> int:
        """Block rows of a head: of V."""
        return ceil_div(self.head, self.accelerator.rows)

    @property
    def key_rows(self) -> int:
        """Blocks of R keys of a token group."""
        return ceil_div(self.accelerator.lanes, self.accelerator.rows)

    @property
    def key_columns(self) -> int:
        """Blocks of C keys of a token group."""
        return ceil_div(self.accelerator.lanes, self.accelerator.cols)

    @property
    def key_words(self) -> int:
        """Words of V keys of a token group."""
        return ceil_div(self.accelerator.lanes, self.accelerator.vector_rows)

    @property
    def norm_words(self) -> int:
        """Words of V features."""
        return ceil_div(self.hidden, self.accelerator.vector_rows)

    @property
    def head_words(self) -> int:
        """Weight words that a block of K or V takes to the array."""
        return ceil_div(self.accelerator.block_area * 8, self.accelerator.weight_port_bits)

    @property
    def sum_banks(self) -> int:
        """Parts that are written of a word of sums."""
        return self.accelerator.vector_rows // self.drained

    @property
    def state_parts(self) -> int:
        """Parts of D features of a block column."""
        return self.accelerator.cols // self.drained
