"""Algorithms, their rollouts, and one training."""
