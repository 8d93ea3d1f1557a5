"""Models and replay buffers as files."""
