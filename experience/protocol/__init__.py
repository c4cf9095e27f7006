"""The sockets' frames, one schema for validation, documents and tests: `council` and `agent`.

Here are the codes that both close with.
"""

# The first group: do not come back; the second: come back with the last position.
ENDED = 1000
MALFORMED = 4400
NOT_SIGNED_IN = 4401
NOT_FOUND = 4404
TOO_MANY = 4429
TOO_SLOW = 4008
RESTARTING = 1012
OVERLOADED = 1013
