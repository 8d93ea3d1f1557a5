"""A clairvoyant bound, for evaluation only: the best schedule found for a migration whose future is known."""
