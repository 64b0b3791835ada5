"""A simulated Stripe, apart from the program: real HTTP, a virtual clock, failures at will."""

from dunning.sandbox.sandbox import Sandbox
from dunning.sandbox.world import Settings

__all__ = ["Sandbox", "Settings"]
