"""Pictures of a migration while it runs."""
