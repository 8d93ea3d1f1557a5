"""The arguments of the environments and of their resets: their checks, defaults and form in a spec."""
