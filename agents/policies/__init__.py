"""Policies of Stable-Baselines3 over these networks."""
