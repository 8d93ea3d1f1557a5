"""Suites of the user's own: a scenario file, a folder of them, or a sampler in YAML."""
