"""The decisions: pure functions over facts. Standard library only; no clock, database, network."""
