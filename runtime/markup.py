"""Style marks inside speech text, as PAL's dialogue systems write them: ``Hello <set expression(happy)> again``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import StyleError

_MARK = re.compile(r"<\s*set\s+expression\s*\(([^()<>]*)\)\s*/?\s*>", re.IGNORECASE)
_OTHER = re.compile(r"<\s*(?:set|do|anim|wait)\b[^<>]*>", re.IGNORECASE)
MAX_CHARACTERS = 20_000
"""Longest text that is parsed; longer speech is sent in parts."""


@dataclass(frozen=True)
class StyleMark:
    """``style`` (any prompt) holds from character ``position`` of the clean text on."""

    style: str
    position: int


def parse_markup(text: str) -> tuple[list[StyleMark], str]:
    """Marks in order of position, and the text without them, single-spaced where a mark stood.

    ``<set expression()>`` means neutral. Marks of other kinds (``<do ...>``, ``<anim ...>``) are dropped from the text.
    Angle brackets that mark nothing stay, so "a < b" is speech.

    Raises:
        StyleError: if ``text`` is not text or longer than :data:`MAX_CHARACTERS`.
    """
    if not isinstance(text, str):
        raise StyleError(f"expected speech text (str), got {type(text).__name__}: decode it first")
    if len(text) > MAX_CHARACTERS:
        raise StyleError(f"marked text has at most {MAX_CHARACTERS} characters, got {len(text)}: send it in parts")
    marks: list[StyleMark] = []
    clean, last = "", 0
    for match in _MARK.finditer(text):
        clean = _join(clean, _OTHER.sub("", text[last : match.start()]))
        marks.append(StyleMark(match[1].strip().replace("_", " ") or "neutral", len(clean.rstrip())))
        last = match.end()
    clean = _join(clean, _OTHER.sub("", text[last:])).strip()
    starts = [m.position + (clean[m.position : m.position + 1].isspace()) for m in marks]
    return [StyleMark(m.style, min(p, len(clean))) for m, p in zip(marks, starts, strict=True)], clean


def _join(before: str, after: str) -> str:
    """Both parts with one space where a mark stood between two spaces."""
    if (not before or before[-1].isspace()) and after[:1].isspace():
        after = after.lstrip()
    return before + re.sub(r"(\s)\s+", r"\1", after)
