"""What a throttle is known by: a row, and how one is made of a class of one's own."""
