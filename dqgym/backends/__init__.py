"""The places where migrations happen: one interface, one module for each backend."""
