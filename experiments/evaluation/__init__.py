"""Throttles on suites of migrations: what a command line may name, the runs, and their journal."""
