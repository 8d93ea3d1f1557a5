"""What this host offers: whether migrations can run here, and what they cost."""
