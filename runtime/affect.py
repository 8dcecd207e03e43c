"""Styles as hri_msgs names them, with valence and arousal, and back.

Valence and arousal are coordinates of Russell's circumplex (1980), -1 to 1. Where each style lies there is our own
table; ``hri_msgs/Expression`` has the names.
"""

from __future__ import annotations

import numpy as np

from .arkit import ARKIT_INDEX
from .errors import InputError, StyleError

AFFECT: dict[str, tuple[str, float, float]] = {
    "neutral": ("neutral", 0.0, 0.0), "happy": ("happy", 0.8, 0.4), "sad": ("sad", -0.7, -0.4),
    "angry": ("angry", -0.7, 0.7), "surprised": ("surprised", 0.1, 0.8), "afraid": ("scared", -0.7, 0.7),
    "disgusted": ("disgusted", -0.7, 0.3), "contemptuous": ("skeptical", -0.5, 0.1), "excited": ("excited", 0.7, 0.9),
    "calm": ("neutral", 0.4, -0.6), "tired": ("tired", -0.2, -0.8), "confused": ("confused", -0.3, 0.3),
    "thoughtful": ("neutral", 0.0, -0.2), "playful": ("happy", 0.7, 0.6), "bored": ("bored", -0.4, -0.7),
}  # fmt: skip
"""Style: name in hri_msgs, valence, arousal at full strength."""

PROMPTS: dict[str, tuple[str, float]] = {
    "neutral": ("", 1.0), "angry": ("angry", 1.0), "sad": ("sad", 1.0), "happy": ("happy", 1.0),
    "surprised": ("surprised", 1.0), "disgusted": ("disgusted", 1.0), "scared": ("afraid", 1.0),
    "pleading": ("sad", 0.8), "vulnerable": ("sad", 0.7), "despaired": ("very sad", 1.3), "guilty": ("sad", 0.7),
    "disappointed": ("disappointed", 0.9), "embarrassed": ("afraid", 0.5), "horrified": ("very afraid", 1.4),
    "skeptical": ("contemptuous", 0.8), "annoyed": ("slightly angry", 0.8), "furious": ("very angry", 1.4),
    "suspicious": ("contemptuous", 0.9), "rejected": ("sad", 1.0), "bored": ("bored", 1.0), "tired": ("tired", 1.0),
    "asleep": ("very tired", 1.4), "confused": ("confused", 1.0), "amazed": ("very surprised", 1.2),
    "excited": ("excited", 1.0),
}  # fmt: skip
"""Every expression of hri_msgs: style prompt and strength."""

SMALLEST = 0.15
"""Valence and arousal nearer to the middle than this are neutral."""

_SHOWS = {  # shape (or pair): valence, arousal at 1; measured by eye on the drawn head
    "mouthSmile": (0.9, 0.2), "cheekSquint": (0.4, 0.2), "mouthFrown": (-0.9, -0.1), "browDown": (-0.5, 0.5),
    "browInnerUp": (-0.2, 0.1), "browOuterUp": (0.1, 0.5), "noseSneer": (-0.6, 0.3), "eyeWide": (0.0, 0.9),
    "eyeSquint": (0.0, -0.1), "mouthPress": (-0.2, 0.1), "mouthShrugLower": (-0.2, 0.0),
}  # fmt: skip
_FACE = np.zeros((len(ARKIT_INDEX), 2))
for _shape, _pair in _SHOWS.items():
    _columns = [_shape] if _shape in ARKIT_INDEX else [f"{_shape}Left", f"{_shape}Right"]
    for _name in _columns:
        _FACE[ARKIT_INDEX[_name]] = np.array(_pair) / len(_columns)


def shown_affect(weights: np.ndarray) -> np.ndarray:
    """Valence and arousal (2,), -1 to 1, that weights (52,), best averaged over a second, show on the face."""
    return np.clip(np.asarray(weights, np.float64) @ _FACE, -1.0, 1.0)


def style_affect(style: str, strength: float) -> tuple[str, np.ndarray]:
    """Name in hri_msgs, and valence and arousal (2,), of a style at ``strength`` (1 is as described).

    Raises:
        StyleError: for a style that is none.
    """
    if style not in AFFECT:
        raise StyleError(f"expected one of {', '.join(AFFECT)}, got {style!r}")
    name, valence, arousal = AFFECT[style]
    return (name if strength > 0 else "neutral"), np.clip(strength * np.array([valence, arousal]), -1.0, 1.0)


def prompt_of(expression: str, valence: float, arousal: float) -> tuple[str, float]:
    """Style prompt and its strength (0 to 2) for an ``hri_msgs/Expression``.

    A name goes by :data:`PROMPTS`. Without one, the style that lies in the direction of valence and arousal is used,
    as strongly as they are far from the middle.

    Raises:
        InputError: for a name that hri_msgs does not have, or coordinates outside [-1, 1].
    """
    if not all(np.isfinite(v) and -1.0 <= v <= 1.0 for v in (valence, arousal)):
        raise InputError(f"expected valence and arousal from -1 to 1, got {valence:g} and {arousal:g}")
    if expression:
        if expression not in PROMPTS:
            raise InputError(f"expected an expression of hri_msgs ({', '.join(PROMPTS)}), got {expression[:40]!r}")
        return PROMPTS[expression]
    wanted = np.array([valence, arousal])
    length = float(np.linalg.norm(wanted))
    if length < SMALLEST:
        return "", 1.0
    styles = [style for style, (_, v, a) in AFFECT.items() if np.hypot(v, a) > 0.3]
    places = np.array([AFFECT[style][1:] for style in styles])
    best = int((places @ wanted / np.linalg.norm(places, axis=1)).argmax())
    return styles[best], min(length / float(np.linalg.norm(places[best])), 2.0)
