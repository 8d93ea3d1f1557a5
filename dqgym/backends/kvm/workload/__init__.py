"""What the guest does: which pages its vCPUs access, and when."""
