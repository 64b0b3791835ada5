"""What the merchant's own people are told: alerts as things happen, and a digest of each day.

Found in the database and never handed in, so that no other part knows of it and nothing that
concerns a customer waits for it. What is found is kept once (`finding`), many things of a kind
become one message (`gathering`), and messages leave like calls to the product (`sending`).
"""

from dunning.staff.notice import Notice, Part
from dunning.staff.telling import Staff
from dunning.staff.ways import ChatWay, MailWay, Way, mails_to, ways_of

__all__ = ["ChatWay", "MailWay", "Notice", "Part", "Staff", "Way", "mails_to", "ways_of"]
