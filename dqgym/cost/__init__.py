"""The cost J of a migration: its definition, the stall of a window, and the meter that adds it up."""
