"""Speed and calibration commands; none of them is a test."""
