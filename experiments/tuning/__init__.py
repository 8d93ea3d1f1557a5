"""The searches behind ``dqgym tune``."""
