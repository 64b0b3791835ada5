"""`dunning demo`: the whole program beside a simulated Stripe, its customers and their mailbox."""

from dunning.demo.run import run

__all__ = ["run"]
