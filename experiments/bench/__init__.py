"""Measurements of speed behind ``dqgym bench``."""
