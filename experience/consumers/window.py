"""What was sent to a client and not acknowledged (design, rule 5)."""

import asyncio
from collections import deque

# A client that acknowledges may be this far behind …
WINDOW_EVENTS = 256
WINDOW_BYTES = 256 * 1024
# … one that never does gets this much, and then must come back with its position. A socket as
# a whole never gets more, whatever it follows.
SILENT_WINDOW_BYTES = 2 * 1024 * 1024
SLOW_SECONDS = 30.0


class Account:
    """What a whole socket was sent and has not acknowledged."""

    def __init__(self) -> None:
        self.bytes = 0
        self.changed = asyncio.Event()

    def release(self, size: int) -> None:
        self.bytes -= size
        self.changed.set()


class Window:
    """One stream of frames to a client. `room` waits until more may be sent."""

    def __init__(self, account: Account | None = None) -> None:
        self._account = account or Account()
        self._sent: deque[tuple[int, int]] = deque()
        self._bytes = 0
        self._acknowledges = False
        self._is_in_order = True

    def sent(self, seq: int, size: int) -> None:
        # What is told again comes behind what is newer.
        self._is_in_order &= not self._sent or self._sent[-1][0] <= seq
        self._sent.append((seq, size))
        self._bytes += size
        self._account.bytes += size

    def acknowledge(self, seq: int) -> None:
        """The client has everything up to this."""
        self._acknowledges = True
        before = self._bytes
        while self._sent and self._sent[0][0] <= seq:
            self._bytes -= self._sent.popleft()[1]
        if not self._is_in_order:
            self._sent = deque(each for each in self._sent if each[0] > seq)
            self._bytes = sum(size for _, size in self._sent)
            self._is_in_order = not self._sent
        self._account.release(before - self._bytes)

    def clear(self) -> None:
        """The client has shown that it has everything, though it does not acknowledge."""
        self._sent.clear()
        self._account.release(self._bytes)
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        if self._account.bytes >= SILENT_WINDOW_BYTES:
            return True
        return self._acknowledges and (
            len(self._sent) >= WINDOW_EVENTS or self._bytes >= WINDOW_BYTES
        )

    async def room(self) -> None:
        """Wait for room. Raises TimeoutError when the client makes none for 30 s."""
        while self.is_full:
            self._account.changed.clear()
            # Not `wait_for`: in Python 3.11 that may swallow a cancellation.
            async with asyncio.timeout(SLOW_SECONDS):
                await self._account.changed.wait()
