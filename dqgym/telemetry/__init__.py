"""Telemetry and commands of a virtual machine monitor, and the encoder that makes an observation of them."""
