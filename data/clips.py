"""Motion clips: what every source of training motion is brought to, and the one file format they share.

A clip is ``ID.npz`` (52 ARKit weights and head pose at 30 fps, see :class:`MotionClip`) and, where there is sound,
``ID.flac`` beside it (16 kHz mono). Frame k shows audio time k/30 s. No pickled objects are written or read.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import soundfile as sf

from media2face.runtime.arkit import ARKIT_NAMES
from media2face.runtime.errors import InputError

FPS = 30
SAMPLE_RATE = 16_000
SOURCES = ("grid", "facegood", "livelink", "synthetic")
SPLITS = ("train", "val", "test")
_STRINGS = ("style", "speaker", "source", "split")
_PHONES = ("phones_start", "phones_end", "phones_label")


@dataclass(eq=False)
class MotionClip:
    """One take: face and head over time, and which of it the source really knows.

    Attributes:
        weights: (T, 52) float32 in [0, 1], in the order of ``ARKIT_NAMES``.
        weights_valid: (52,) bool; False where the source says nothing of a shape (its column is then 0 by convention).
        head_rotvec: (T, 3) float32, rotation vector in radians, REP-103 axes, relative to the rest pose.
        head_translation: (T, 3) float32, neck pivot's offset from rest in metres, REP-103 axes.
        head_valid: whether the head pose was measured or performed (zeros otherwise).
        speaker, source, split: who, one of ``SOURCES``, one of ``SPLITS``.
        style, intensity: style key and its strength in [0, 1].
        has_audio: whether a ``.flac`` of the same name belongs to the clip.
        phones_start, phones_end: (P,) float32 seconds, ascending, or None; ``phones_label``: (P,) str or None.

    Raises:
        InputError: at construction, when a shape, range, name or finite-ness does not hold.
    """

    weights: np.ndarray
    speaker: str
    source: str
    split: str
    weights_valid: np.ndarray | None = None
    head_rotvec: np.ndarray | None = None
    head_translation: np.ndarray | None = None
    head_valid: bool = False
    style: str = "neutral"
    intensity: float = 0.0
    has_audio: bool = True
    phones_start: np.ndarray | None = None
    phones_end: np.ndarray | None = None
    phones_label: np.ndarray | None = None
    fps: int = FPS
    names: tuple[str, ...] = field(default=ARKIT_NAMES, repr=False)

    def __post_init__(self) -> None:
        n = len(ARKIT_NAMES)
        self.names = tuple(str(x) for x in self.names)
        if self.names != ARKIT_NAMES:
            raise InputError("expected the 52 ARKit names in the order of ARKIT_NAMES; reorder the columns of weights")
        self.weights = _array("weights", self.weights, (-1, n))
        frames = len(self.weights)
        if frames == 0:
            raise InputError("expected a clip of at least one frame, got none")
        if self.weights.min() < 0 or self.weights.max() > 1:
            low, high = float(self.weights.min()), float(self.weights.max())
            raise InputError(f"expected weights in [0, 1], got {low:.3f} to {high:.3f}; clip them first")
        if self.weights_valid is None:
            self.weights_valid = np.ones(n, bool)
        self.weights_valid = np.asarray(self.weights_valid)
        if self.weights_valid.dtype != bool or self.weights_valid.shape != (n,):
            raise InputError(f"expected weights_valid bool (52,), got {_describe(self.weights_valid)}")
        zeros = np.zeros((frames, 3), np.float32)
        self.head_rotvec = zeros if self.head_rotvec is None else self.head_rotvec
        self.head_translation = zeros.copy() if self.head_translation is None else self.head_translation
        self.head_rotvec = _array("head_rotvec", self.head_rotvec, (frames, 3))
        self.head_translation = _array("head_translation", self.head_translation, (frames, 3))
        if np.linalg.norm(self.head_rotvec, axis=1).max() > np.pi + 1e-4:
            raise InputError("expected head_rotvec no longer than pi radians; is it in degrees?")
        if np.abs(self.head_translation).max() > 1:
            raise InputError("expected head_translation within 1 m of rest; is it in centimetres?")
        self.head_valid, self.has_audio = bool(self.head_valid), bool(self.has_audio)
        self.intensity, self.fps = float(self.intensity), int(self.fps)
        if self.fps != FPS:
            raise InputError(f"expected {FPS} fps, got {self.fps}; resample the motion first")
        if not 0 <= self.intensity <= 1:
            raise InputError(f"expected intensity in [0, 1], got {self.intensity}")
        for name in _STRINGS:
            setattr(self, name, str(getattr(self, name)))
            if not getattr(self, name):
                raise InputError(f"expected a text for {name}, got an empty one")
        if self.source not in SOURCES or self.split not in SPLITS:
            raise InputError(f"expected source of {SOURCES}, split of {SPLITS}; got {self.source!r}, {self.split!r}")
        self._check_phones()

    def _check_phones(self) -> None:
        given = [getattr(self, name) is not None for name in _PHONES]
        if not any(given):
            return
        if not all(given):
            raise InputError(f"expected all of {_PHONES} or none")
        self.phones_start = _array("phones_start", self.phones_start, (-1,))
        self.phones_end = _array("phones_end", self.phones_end, self.phones_start.shape)
        self.phones_label = np.asarray(self.phones_label, dtype=np.str_)
        if self.phones_label.shape != self.phones_start.shape:
            raise InputError(f"expected one label per phone, got {_describe(self.phones_label)}")
        if (self.phones_end < self.phones_start).any() or (np.diff(self.phones_start) < 0).any():
            raise InputError("expected phones in order of time, each ending no earlier than it starts")

    @property
    def frames(self) -> int:
        """Number of frames T."""
        return len(self.weights)

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.fps

    def save(self, path: str | Path, audio: np.ndarray | None = None) -> Path:
        """Write ``path`` (.npz) and, with ``audio`` (n,) at 16 kHz, the ``.flac`` beside it; whole files or none.

        The sound is written first, so an existing ``.npz`` means a complete clip.

        Raises:
            InputError: if ``has_audio`` and ``audio`` disagree and no ``.flac`` is there already.
        """
        path = Path(path).with_suffix(".npz")
        flac = path.with_suffix(".flac")
        if audio is None and self.has_audio and not flac.is_file():
            raise InputError(f"expected audio for {path.name}: pass it, write {flac.name} first or set has_audio=False")
        if audio is not None and not self.has_audio:
            raise InputError(f"got audio for {path.name}, whose has_audio is False; set it to True")
        path.parent.mkdir(parents=True, exist_ok=True)
        if audio is not None:
            audio = _array("audio", audio, (-1,))
            part = flac.with_name(f".{flac.name}.part")
            sf.write(part, np.clip(audio, -1, 1), SAMPLE_RATE, subtype="PCM_16", format="FLAC")
            os.replace(part, flac)
        values = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        values["names"] = np.asarray(self.names)
        values["intensity"] = np.float32(self.intensity)
        part = path.with_name(f".{path.name}.part")
        with open(part, "wb") as file:
            np.savez_compressed(file, **values)
        os.replace(part, path)
        return path

    @classmethod
    def load(cls, path: str | Path) -> MotionClip:
        """Read and check a clip.

        Raises:
            InputError: if the file is missing, damaged or breaks the format (the message names the file).
        """
        path = Path(path)
        known = {f.name for f in fields(cls)}
        try:
            with np.load(path, allow_pickle=False) as archive:
                values = {k: archive[k] for k in archive.files if k in known}
        except FileNotFoundError as error:
            raise InputError(f"no motion clip at {path}; data/real_motion.py makes real ones") from error
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is not a readable motion clip: {error}") from error
        missing = {"weights", "names", "speaker", "source", "split"} - values.keys()
        if missing:
            raise InputError(f"{path} lacks {sorted(missing)}; make it again with MotionClip.save")
        values = {k: v.item() if v.ndim == 0 else v for k, v in values.items()}
        try:
            return cls(**values)
        except (InputError, TypeError, ValueError) as error:
            raise InputError(f"{path}: {error}") from error


def read_clip_audio(path: str | Path) -> np.ndarray:
    """The sound of the clip at ``path`` (its .npz or .flac), float32 (n,) at 16 kHz.

    Raises:
        InputError: if there is no such sound or it is not 16 kHz mono.
    """
    flac = Path(path).with_suffix(".flac")
    if not flac.is_file():
        raise InputError(f"no audio at {flac}; the clip's has_audio says whether there should be")
    samples, rate = sf.read(flac, dtype="float32")
    if rate != SAMPLE_RATE or samples.ndim != 1:
        raise InputError(f"expected {SAMPLE_RATE} Hz mono in {flac}, got {rate} Hz, shape {samples.shape}")
    return samples


def iter_clips(
    root: str | Path, split: str | None = None, source: str | None = None
) -> Iterator[tuple[Path, MotionClip]]:
    """Every clip below ``root`` in order of path, as (path, clip), of one split or source where given."""
    for path in sorted(Path(root).rglob("*.npz")):
        if path.name.startswith("."):
            continue
        clip = MotionClip.load(path)
        if (split is None or clip.split == split) and (source is None or clip.source == source):
            yield path, clip


def _describe(x: np.ndarray) -> str:
    return f"{x.dtype} {x.shape}"


def _array(name: str, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``x`` as finite, contiguous float32 of ``shape`` (-1: any length)."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    if x.ndim != len(shape) or any(want not in (-1, got) for want, got in zip(shape, x.shape, strict=True)):
        raise InputError(f"expected {name} of shape {shape} (-1: any), got {x.shape}")
    if not np.isfinite(x).all():
        raise InputError(f"expected finite {name}, got {int((~np.isfinite(x)).sum())} values that are not")
    return x
