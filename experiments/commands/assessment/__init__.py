"""Commands that measure: throttles, the model, this host."""
