"""The command line ``dqgym``: its entry point and its table of commands. Imports nothing, for a quick start."""
