"""Rules for quotas whose numbers were found by a search."""
