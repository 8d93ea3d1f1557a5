"""The command line ``dqgym`` and what its commands do."""
