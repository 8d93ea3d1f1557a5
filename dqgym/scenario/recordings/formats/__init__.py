"""Logs of migrations that others write: a reader for each format."""
