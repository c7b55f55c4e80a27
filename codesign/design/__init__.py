"""The design folder: all that the hardware needs of a model, readable without torch."""

from codesign.design.content import Design
from codesign.design.document import DESIGN, DesignDocument, DesignLayer
from codesign.design.folder import read_design

__all__ = ["DESIGN", "Design", "DesignDocument", "DesignLayer", "read_design"]
