"""Policies that other libraries trained: found, checked, and made what our own are."""
