"""The virtual machine of one migration: memory, vCPUs, dirty logs and what throttles a vCPU."""
