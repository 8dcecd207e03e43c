"""Running percentiles over the latest values, for diagnostics."""

from __future__ import annotations

from collections import deque

import numpy as np


class Percentiles:
    """p50, p95 and p99 of the latest ``window`` values."""

    def __init__(self, window: int = 900) -> None:
        self._values: deque[float] = deque(maxlen=window)
        self.total = 0

    def add(self, value: float) -> None:
        """Take one value."""
        self._values.append(value)
        self.total += 1

    def summary(self) -> dict[str, float] | None:
        """{"p50", "p95", "p99"}, or None before the first value."""
        if not self._values:
            return None
        p50, p95, p99 = np.percentile(list(self._values), (50, 95, 99))
        return {"p50": float(p50), "p95": float(p95), "p99": float(p99)}
