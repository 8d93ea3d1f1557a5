"""A training, from a config to a run directory."""
