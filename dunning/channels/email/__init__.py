"""Email over SMTP; the only package that speaks it.

`channel` sends letters, `body` writes them, `talk` says one over a connection, `pool` keeps the
connections, `server` opens them, `address` knows what an address is, `turns` keeps to a rate.
"""

from dunning.channels.email.channel import EmailChannel
from dunning.channels.email.turns import Turns

__all__ = ["EmailChannel", "Turns"]
