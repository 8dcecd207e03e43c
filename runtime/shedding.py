"""How many DDIM steps a machine has time for, hop by hop: latency never grows."""

from __future__ import annotations

from collections import Counter

from .presentation import NS

SHORT_NS = NS // 10
"""A hop with less time than this before it is to be seen, and with another one waiting, takes a step less."""
HOPELESS_NS = NS // 2
"""Frames that are later than this are not made any more."""


class Shedder:
    """Counts steps down while hops are late, and up again.

    Args:
        full: steps where there is time.
        counts: where what was shed is counted.

    Attributes:
        steps: of the hops to come, 1 to ``full``.
    """

    def __init__(self, full: int, counts: Counter[str]) -> None:
        self.full = self.steps = full
        self._counts = counts

    def look(self, margin: int, ready: int) -> bool:
        """Adapt :attr:`steps`; True if frames have to be left out.

        Args:
            margin: ns until the next frame is to be seen.
            ready: hops that could be sampled at once.
        """
        if ready < 2 or margin > SHORT_NS:
            self.steps = min(self.steps + 1, self.full)
        else:
            self.steps = max(self.steps - 1, 1)
            self._counts["hops with fewer steps"] += self.steps < self.full
        return margin < -HOPELESS_NS and ready > 1
