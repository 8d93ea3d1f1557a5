"""Commands that migrate."""
