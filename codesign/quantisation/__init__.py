"""From float to integers: calibration, the integer model, its accuracy."""
