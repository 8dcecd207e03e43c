"""Style timelines: ``0:happy 2.5:sad`` is sad from 2.5 s on, ``2.5~0.8:sad`` takes 0.8 s to become so."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import StyleError

RAMP_S = 0.3
"""How long a style takes to ease in where nothing is said, s."""
LONGEST_RAMP_S = 10.0
MOST_PROMPTS = 200
_MARK = re.compile(r"(?:^|\s)(\d+(?:\.\d*)?|\.\d+)(?:~(\d+(?:\.\d*)?|\.\d+))?:")
_ALMOST = re.compile(r"(?:^|\s)([-+~.,\d][-+~.,\ds]*:)(?=\S)")


@dataclass(frozen=True)
class Prompt:
    """A style in words from ``start`` (s) on, easing in over ``ramp`` (s)."""

    start: float
    text: str
    ramp: float = RAMP_S


def is_timeline(text: str) -> bool:
    """Whether a prompt is meant as a timeline: it begins with a time and a colon, or nearly so."""
    return bool(_ALMOST.match(text.strip()) or _MARK.match(text.strip()))


def parse_timeline(text: str, duration: float | None = None) -> tuple[Prompt, ...]:
    """The prompts of a timeline, in order; the first eases in at once where it starts at 0.

    Args:
        text: ``TIME:WORDS TIME~RAMP:WORDS ...``, seconds; before the first time the style is neutral.
        duration: of the speech, s, where it is known.

    Raises:
        StyleError: unknown syntax, times that go backwards, a ramp that overlaps the next prompt, or a timeline that
            outlasts the speech.
    """
    text = text.strip()
    marks = list(_MARK.finditer(text))
    known = {m.end() for m in marks}
    odd = next((m[1] for m in _ALMOST.finditer(text) if m.end() not in known), None)
    if odd is not None or not marks or marks[0].start() != 0:
        raise StyleError(f"cannot read {odd or text[:40]!r} in the style timeline: expected TIME:WORDS or "
                         "TIME~RAMP:WORDS in seconds, such as '0:happy 2.5~0.8:sad'")  # fmt: skip
    if len(marks) > MOST_PROMPTS:
        raise StyleError(f"a style timeline has at most {MOST_PROMPTS} prompts, got {len(marks)}")
    prompts = []
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        words = text[mark.end() : following.start() if following else None].strip()
        start = float(mark[1])
        prompts.append(Prompt(start, words, float(mark[2]) if mark[2] else (RAMP_S if start else 0.0)))
    explicit = [m[2] is not None for m in marks]
    check_timeline(tuple(prompts), duration, explicit)
    return tuple(_fitted(prompts, explicit))


def check_timeline(prompts: tuple[Prompt, ...], duration: float | None, explicit: list[bool] | None = None) -> None:
    """Refuse what cannot be followed; only ramps that were asked for (``explicit``) count.

    Raises:
        StyleError: see :func:`parse_timeline`.
    """
    explicit = explicit or [False] * len(prompts)
    for i, prompt in enumerate(prompts):
        following = prompts[i + 1] if i + 1 < len(prompts) else None
        end = prompt.start + (prompt.ramp if explicit[i] else 0.0)
        if prompt.ramp > LONGEST_RAMP_S:
            raise StyleError(f"a ramp lasts at most {LONGEST_RAMP_S:g} s, got {prompt.ramp:g} for {prompt.text!r}")
        if following and following.start <= prompt.start:
            raise StyleError(
                f"the style timeline goes backwards: {following.text!r} at {following.start:g} s comes after "
                f"{prompt.text!r} at {prompt.start:g} s"
            )
        if following and end > following.start:
            raise StyleError(
                f"the style timeline overlaps: {prompt.text!r} eases in until {end:g} s, but {following.text!r} "
                f"starts at {following.start:g} s"
            )
        if duration is not None and (prompt.start >= duration or end > duration + 1e-6):
            raise StyleError(
                f"the style timeline outlasts the speech: {prompt.text!r} at {max(prompt.start, end):g} s, "
                f"the speech ends at {duration:.2f} s"
            )


def _fitted(prompts: list[Prompt], explicit: list[bool]) -> list[Prompt]:
    """Default ramps, shortened where the next prompt comes sooner."""
    fitted = []
    for i, prompt in enumerate(prompts):
        room = prompts[i + 1].start - prompt.start if i + 1 < len(prompts) else prompt.ramp
        fitted.append(prompt if explicit[i] else Prompt(prompt.start, prompt.text, min(prompt.ramp, room)))
    return fitted
