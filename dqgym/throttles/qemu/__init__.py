"""What QEMU's throttles have in common: when they act, and what each version of QEMU does."""
