"""Logs of migrations that become scenarios, checked and refined on the model."""
