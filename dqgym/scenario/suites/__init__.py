"""Suites: named lists of scenarios, and seeded samplers of them."""

from dqgym.scenario.suites.registry import describe, get_suite, name_of, suite_names
from dqgym.scenario.suites.suite import FixedSuite, SampledSuite, Suite

__all__ = ["FixedSuite", "SampledSuite", "Suite", "describe", "get_suite", "name_of", "suite_names"]
