"""codesign: from a BERT-family model in PyTorch to an FPGA accelerator, proven before any board is touched."""

__version__ = "0.1.0"
