"""A training run: its config, its folder and the policy in it."""
