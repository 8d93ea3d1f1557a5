"""The policy that comes with the package: ``default`` on the command line. Its card is docs/policy.md."""

from __future__ import annotations

from pathlib import Path

SHIPPED_BUNDLE = Path(__file__).parent / "policies" / "default"
"""The directory of the bundle that comes with dqgym."""
