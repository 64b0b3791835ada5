"""What the cases on record can say of another policy, and how sure that is."""

from dunning.evidence.history import Simulated, simulate
from dunning.evidence.reading import History, read

__all__ = ["History", "Simulated", "read", "simulate"]
