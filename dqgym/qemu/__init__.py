"""Talking to QEMU."""
