"""Progress bars of the commands."""

from __future__ import annotations


def advance(bar, done: float, total: int | None = None) -> None:
    """Move a tqdm bar to ``done``, of ``total`` where that becomes known with it."""
    if total is not None:
        bar.total = total
    bar.update(round(done, 1) - bar.n)
