"""The generated hardware under cocotb and Verilator, against the integer model and the hardware model."""
