"""What commands take where nothing is said."""

from __future__ import annotations

from dqgym.cost import FAST, GENTLE

SUITES = ["cover-letter"]
"""Where throttles are set side by side."""
PREFERENCES = [FAST, GENTLE]
