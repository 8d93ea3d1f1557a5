"""Hosts: what a migration costs beside the bytes that it sends, in small files."""
