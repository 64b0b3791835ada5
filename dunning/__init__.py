"""dunning: recovers failed payments and keeps the books of what was recovered."""

__version__ = "0.1.0"
