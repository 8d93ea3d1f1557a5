"""The reference: one byte a page, one store and one sent page at a time; slow, and the model is checked against it."""
