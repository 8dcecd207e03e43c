"""A clock for tests of live motion."""

from media2face.runtime.presentation import NS

START = 10**18
"""Presentation of frame 0, ns."""


def run(live, begin, end, step_ms=10):
    """Let the clock go from ``begin`` to ``end`` (s from START); (moment, utterance, frame) of every frame made."""
    made = []
    for now in range(START + round(begin * NS), START + round(end * NS), step_ms * 1_000_000):
        while (result := live.step(now)) is not None:
            made += [(now, result[0], f) for f in result[1]]
    return made
