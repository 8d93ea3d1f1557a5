"""The rows of an evaluation and the statistics over them."""
