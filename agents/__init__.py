"""Learned policies: Stable-Baselines3 algorithms and policies for the migration environments."""
