"""Motion clips: what every source of training motion is brought to, and the one file format they share.

A clip is ``ID.npz`` (52 ARKit weights and head pose at 30 fps, see :class:`MotionClip`) and, where there is sound,
``ID.flac`` beside it (16 kHz mono). Frame k shows audio time k/30 s. No pickled objects are written or read.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import soundfile as sf

from media2face.data.files import whole_file
from media2face.runtime.arkit import ARKIT_NAMES
from media2face.runtime.errors import InputError

FPS = 30
SAMPLE_RATE = 16_000
SOURCES = ("grid", "facegood", "livelink", "video", "synthetic")
"""Where motion comes from; all but ``synthetic`` (made by rules) was captured from people or animated by hand."""
SPLITS = ("train", "val", "test")
_STRINGS = ("style", "speaker", "source", "split")
_PHONES = ("phones_start", "phones_end", "phones_label")
_EVENTS = ("events_start", "events_end", "events_label")
_LATENT_LIMIT = 4096


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
        events_start, events_end, events_label: the same for acts (nod, laugh, sing...), as far as they are known.
        take: which recording the clip was cut from, or "" for one of its own.
        quality: in [0, 1], how far the extraction trusts it; 1 where nothing was estimated.
        latents: (T, D) float32 in the latent space named ``latent_space``, or None.

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
    events_start: np.ndarray | None = None
    events_end: np.ndarray | None = None
    events_label: np.ndarray | None = None
    take: str = ""
    quality: float = 1.0
    latents: np.ndarray | None = None
    latent_space: str = ""
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
        self.intensity, self.fps, self.quality = float(self.intensity), int(self.fps), float(self.quality)
        if self.fps != FPS:
            raise InputError(f"expected {FPS} fps, got {self.fps}; resample the motion first")
        if not 0 <= self.intensity <= 1:
            raise InputError(f"expected intensity in [0, 1], got {self.intensity}")
        if not 0 <= self.quality <= 1:
            raise InputError(f"expected quality in [0, 1], got {self.quality}")
        self.take, self.latent_space = str(self.take), str(self.latent_space)
        if self.latents is not None:
            self.latents = _array("latents", self.latents, (frames, -1))
            if not self.latent_space or not 0 < self.latents.shape[1] <= _LATENT_LIMIT:
                raise InputError("expected latents (T, D) together with the fingerprint of their latent_space")
        for name in _STRINGS:
            setattr(self, name, str(getattr(self, name)))
            if not getattr(self, name):
                raise InputError(f"expected a text for {name}, got an empty one")
        if self.source not in SOURCES or self.split not in SPLITS:
            raise InputError(f"expected source of {SOURCES}, split of {SPLITS}; got {self.source!r}, {self.split!r}")
        self._check_intervals("phones", _PHONES)
        self._check_intervals("events", _EVENTS)

    def _check_intervals(self, what: str, names: tuple[str, str, str]) -> None:
        given = [getattr(self, name) is not None for name in names]
        if not any(given):
            return
        if not all(given):
            raise InputError(f"expected all of {names} or none")
        start = _array(names[0], getattr(self, names[0]), (-1,))
        end = _array(names[1], getattr(self, names[1]), start.shape)
        label = np.asarray(getattr(self, names[2]), dtype=np.str_)
        if label.shape != start.shape:
            raise InputError(f"expected one label per {what[:-1]}, got {_describe(label)}")
        if (end < start).any() or (np.diff(start) < 0).any():
            raise InputError(f"expected {what} in order of time, each ending no earlier than it starts")
        for name, value in zip(names, (start, end, label), strict=True):
            setattr(self, name, value)

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
            with whole_file(flac) as file:
                file.write(flac_bytes(audio))
        with whole_file(path) as file:
            file.write(self.to_bytes())
        return path

    def to_bytes(self) -> bytes:
        """The clip as the content of its ``.npz``; the same clip gives the same bytes."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        values["names"] = np.asarray(self.names)
        values["intensity"] = np.float32(self.intensity)
        values["quality"] = np.float32(self.quality)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **values)
        return buffer.getvalue()

    @classmethod
    def load(cls, path: str | Path) -> MotionClip:
        """Read and check a clip.

        Raises:
            InputError: if the file is missing, damaged or breaks the format (the message names the file).
        """
        path = Path(path)
        try:
            content = path.read_bytes()
        except FileNotFoundError as error:
            raise InputError(f"no motion clip at {path}; data/real_motion.py makes real ones") from error
        except OSError as error:
            raise InputError(f"{path} is not a readable motion clip: {error}") from error
        return cls.from_bytes(content, str(path))

    @classmethod
    def from_bytes(cls, content: bytes, name: str = "clip") -> MotionClip:
        """Read and check the content of an ``.npz``; ``name`` is for messages.

        Raises:
            InputError: if it is damaged or breaks the format.
        """
        known = {f.name for f in fields(cls)}
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                values = {k: archive[k] for k in archive.files if k in known}
        except Exception as error:  # zipfile, zlib, tokenize and numpy each raise their own for a damaged file
            raise InputError(f"{name} is not a readable motion clip: {error}") from error
        missing = {"weights", "names", "speaker", "source", "split"} - values.keys()
        if missing:
            raise InputError(f"{name} lacks {sorted(missing)}; make it again with MotionClip.save")
        values = {k: v.item() if v.ndim == 0 else v for k, v in values.items()}
        try:
            return cls(**values)
        except (InputError, TypeError, ValueError) as error:
            raise InputError(f"{name}: {error}") from error


def flac_bytes(audio: np.ndarray, rate: int = SAMPLE_RATE) -> bytes:
    """Sound (n,) in [-1, 1] as the content of a 16-bit FLAC file."""
    buffer = io.BytesIO()
    sf.write(buffer, np.clip(_array("audio", audio, (-1,)), -1, 1), rate, subtype="PCM_16", format="FLAC")
    return buffer.getvalue()


def decode_audio(content: bytes, name: str = "sound") -> np.ndarray:
    """The samples (n,) float32 of a clip's FLAC content.

    Raises:
        InputError: if it is damaged or not 16 kHz mono.
    """
    try:
        samples, rate = sf.read(io.BytesIO(content), dtype="float32")
    except sf.LibsndfileError as error:
        raise InputError(f"{name} is not readable sound: {error}") from error
    if rate != SAMPLE_RATE or samples.ndim != 1:
        raise InputError(f"expected {SAMPLE_RATE} Hz mono in {name}, got {rate} Hz, shape {samples.shape}")
    return samples


def read_clip_audio(path: str | Path) -> np.ndarray:
    """The sound of the clip at ``path`` (its .npz or .flac), float32 (n,) at 16 kHz.

    Raises:
        InputError: if there is no such sound or it is not 16 kHz mono.
    """
    flac = Path(path).with_suffix(".flac")
    if not flac.is_file():
        raise InputError(f"no audio at {flac}; the clip's has_audio says whether there should be")
    return decode_audio(flac.read_bytes(), str(flac))


def iter_clips(
    root: str | Path, split: str | None = None, source: str | None = None
) -> Iterator[tuple[Path, MotionClip]]:
    """Every clip below ``root`` in order of path, as (path, clip), of one split or source where given."""
    root = Path(root)
    for path in sorted(root.rglob("*.npz")):
        if any(part.startswith(".") for part in path.relative_to(root).parts):
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
