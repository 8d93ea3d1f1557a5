"""Networks that treat all vCPUs alike."""
