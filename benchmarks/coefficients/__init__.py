"""LUT and flip-flop coefficients of the engine's units, measured with Yosys."""
