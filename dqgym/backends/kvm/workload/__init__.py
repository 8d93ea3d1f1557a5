"""The guest's workload: the pages that its vCPUs access, and the times at which they do."""
