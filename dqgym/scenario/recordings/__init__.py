"""Migrations that were recorded elsewhere, and the scenarios that they become."""
