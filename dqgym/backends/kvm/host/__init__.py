"""This host: the probe that tells whether migrations can run here, and the measurement of what they cost."""
