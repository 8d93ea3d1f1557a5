"""The baselines, one file each, all with the interface that a learned policy has."""
