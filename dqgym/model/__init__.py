"""The vectorised vCPU and pre-copy model."""
