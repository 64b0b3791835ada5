"""One module per kind of step: what it does to the world, and nothing it remembers."""
