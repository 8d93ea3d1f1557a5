"""Kernels: how they are compiled and kept, and what they compute with."""
