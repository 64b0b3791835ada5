"""Deterministic simulation: real program code in seeded worlds full of faults, and one auditor."""
