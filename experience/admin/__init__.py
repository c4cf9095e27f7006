"""What the admin shows of users, tokens, conversations and sketches; what it adds to runs.

Tickets are shown nowhere: they are good once, for seconds.
"""

from experience.admin import credentials, runs, sketches, talk

__all__ = ["credentials", "runs", "sketches", "talk"]
