"""One piece of speech and how it is to be said, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .audio_io import AudioFile
from .clock import SAMPLE_RATE
from .errors import AudioError
from .keyframes import Keyframe, check_keyframes
from .timeline import Prompt, check_timeline, is_timeline, parse_timeline

if TYPE_CHECKING:  # ONNX Runtime is not needed to check a clip
    from .style import StyleEmbedding


@dataclass(frozen=True)
class Clip:
    """One piece of speech and how to say it.

    Attributes:
        speech: path of an audio file, or float32 (n,) at 16 kHz.
        style: words, a timeline of them (:mod:`.timeline`), or an embedding of words or of a picture; None is neutral.
        strength: of the style, 0 to 3.
        keyframes: faces to pass through, at times of this clip.
    """

    speech: str | Path | np.ndarray
    style: StyleEmbedding | str | None = None
    strength: float = 1.0
    keyframes: Sequence[Keyframe] = ()

    @cached_property
    def duration(self) -> float | None:
        """Of the speech, s; None where the file does not say."""
        if isinstance(self.speech, np.ndarray):
            return len(self.speech) / SAMPLE_RATE
        with AudioFile(self.speech) as source:
            return source.expected / SAMPLE_RATE if source.expected else None

    @property
    def words(self) -> str:
        """The style's words; '' for none, or for a picture."""
        return self.style if isinstance(self.style, str) else ""

    def prompts(self) -> list[tuple[Prompt, StyleEmbedding | str | None]]:
        """The styles in order, each as text or as embedding.

        Raises:
            StyleError: see :func:`.parse_timeline`.
            InputError: see :func:`.check_keyframes`.
        """
        duration = self.duration
        check_keyframes(self.keyframes, duration)
        if isinstance(self.style, str) and is_timeline(self.style):
            return [(p, p.text) for p in parse_timeline(self.style, duration)]
        return [] if self.style is None else [(Prompt(0.0, self.words, 0.0), self.style)]

    def finish(self, samples: int) -> None:
        """Check once more what a file's header did not say: its length.

        Raises:
            AudioError: if there is no speech.
            StyleError, InputError: if the timeline or a keyframe outlasts it.
        """
        if samples == 0:
            raise AudioError("the speech holds no samples: nothing to animate")
        check_keyframes(self.keyframes, samples / SAMPLE_RATE)
        if is_timeline(self.words):
            check_timeline(parse_timeline(self.words), samples / SAMPLE_RATE)
