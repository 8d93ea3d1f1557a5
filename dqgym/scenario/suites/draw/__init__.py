"""Draws of what a sampled scenario consists of: workloads, links and schedules."""
