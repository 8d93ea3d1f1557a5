"""The loop that runs a throttle against a backend, its guard, and the policy bundle."""
