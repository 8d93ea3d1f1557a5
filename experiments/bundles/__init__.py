"""A trained policy as a bundle: export and its check."""
