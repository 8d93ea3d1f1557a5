"""A migration between two processes: protocol, sender, source, destination, and the proof of no loss."""
