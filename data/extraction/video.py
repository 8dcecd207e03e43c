"""Reading video with PyAV: upright pictures with their times, and the sound on the same clock.

Times are the file's presentation times less the earliest of picture and sound, so that frame and sample of one moment
have one time whatever the frame rate does. Rotation flags of phones are applied. What cannot be decoded after a good
beginning (a file cut mid-way) ends the video there and marks it ``damaged``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from media2face.runtime.audio_io import read_audio, to_16k_mono
from media2face.runtime.errors import AudioError, ConfigError, InputError

VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".3gp", ".wmv")
SOUND_SUFFIXES = (".opus", ".ogg", ".flac", ".wav", ".mp3")
LONGEST_SIDE = 1280
"""Larger pictures are scaled down to this before anything looks at them."""
MAX_SIDE = 16_384
MAX_SOUND_S = 4 * 3600
TRACK_FPS = 30
"""Faster video is thinned to every n-th frame, n as large as leaves this rate."""


def find_videos(paths: list[Path]) -> list[Path]:
    """The videos among files and folders (looked through recursively), each once, in order.

    Raises:
        InputError: if a path does not exist or nothing is found.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in VIDEO_SUFFIXES and p.is_file()]
            found.update(dict.fromkeys(p.resolve() for p in inside))
        elif path.is_file():
            found[path.resolve()] = None
        else:
            raise InputError(f"no video or folder at {path}")
    if not found:
        raise InputError(f"no video ({', '.join(VIDEO_SUFFIXES)}) in {', '.join(map(str, paths))}")
    return list(found)


class Video:
    """One video file.

    Attributes:
        fps: average frames per second as the file says, or 0 if it does not.
        damaged: set by reading: the file ended in something that could not be decoded.

    Raises:
        InputError: at construction, if it cannot be opened, holds no picture, or its pictures are absurdly large.
        ConfigError: if PyAV is missing.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            import av
        except ImportError as error:  # pragma: no cover - av is a runtime dependency
            raise ConfigError(f"reading video needs the package av: {error}") from error
        self._av = av
        self.path = Path(path)
        self.damaged = ""
        with self._open() as container:
            if not container.streams.video:
                raise InputError(f"{self.path} holds no picture")
            stream = container.streams.video[0]
            width, height = stream.codec_context.width, stream.codec_context.height
            if max(width, height) > MAX_SIDE or min(width, height) < 1:
                raise InputError(f"{self.path}: expected 1 to {MAX_SIDE} pixels a side, got {width} x {height}")
            self.fps = float(stream.average_rate or stream.guessed_rate or 0)
            starts = [float(s.start_time * s.time_base) for s in container.streams if s.start_time is not None
                      and s.type in ("video", "audio")]  # fmt: skip
            self._origin = min(starts, default=0.0)
            self.has_sound = bool(container.streams.audio)

    @contextmanager
    def _open(self) -> Iterator:
        try:
            container = self._av.open(str(self.path))
        except (self._av.error.FFmpegError, OSError, ValueError) as error:
            raise InputError(f"{self.path} is not a readable video: {error}") from error
        with container:
            yield container

    @property
    def stride(self) -> int:
        """Every how many frames one is used."""
        return max(1, int(self.fps / TRACK_FPS + 1e-6))

    def frames(self, stride: int = 1) -> Iterator[tuple[float, np.ndarray]]:
        """(time in s, upright RGB picture uint8 (H, W, 3)) of every ``stride``-th frame, in order of time."""
        last = -np.inf
        with self._open() as container:
            stream = container.streams.video[0]
            stream.thread_type = "SLICE"
            try:
                for count, frame in enumerate(container.decode(stream)):
                    if count % stride or frame.time is None or frame.time <= last:
                        continue
                    last = frame.time
                    yield float(frame.time) - self._origin, self._picture(frame)
            except self._av.error.FFmpegError as error:
                self.damaged = str(error)
        if last == -np.inf:
            raise InputError(f"{self.path} is not a readable video: no frame could be decoded {self.damaged}".rstrip())

    def _picture(self, frame) -> np.ndarray:
        shrink = LONGEST_SIDE / max(frame.width, frame.height)
        if shrink < 1:
            frame = frame.reformat(width=round(frame.width * shrink), height=round(frame.height * shrink))
        pixels = frame.to_ndarray(format="rgb24")
        return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90) % 4))

    def sound(self) -> tuple[np.ndarray, np.ndarray, int] | None:
        """Sound from time 0 on: (n,) float32 at 16 kHz, (m,) mono at its own rate, that rate; None if there is none.

        A file of sound of the same name beside a video without sound counts as its sound.

        Raises:
            InputError: if there is more than ``MAX_SOUND_S``.
        """
        if not self.has_sound:
            return self._companion()
        pieces: list[tuple[float, np.ndarray]] = []
        total = 0
        with self._open() as container:
            stream = container.streams.audio[0]
            rate = int(stream.codec_context.sample_rate)
            resampler, setup = self._av.AudioResampler("flt", "mono", rate), None
            try:
                for frame in container.decode(stream):
                    now = (frame.format.name, frame.layout.name, frame.sample_rate)
                    if setup not in (None, now):  # another layout in the middle of the file
                        resampler = self._av.AudioResampler("flt", "mono", rate)
                    setup = now
                    when = float(frame.time or 0.0) - self._origin
                    for mono in resampler.resample(frame):
                        samples = mono.to_ndarray().reshape(-1).astype(np.float32)
                        total += len(samples)
                        if max(total, when * rate) > MAX_SOUND_S * rate:
                            raise InputError(f"{self.path}: over {MAX_SOUND_S / 3600:.0f} h of sound; cut it first")
                        pieces.append((when, samples))
            except self._av.error.FFmpegError as error:
                self.damaged = str(error)
        if not total:
            return None
        native = _on_one_clock(pieces, rate)
        return to_16k_mono(native, rate).samples, native, rate

    @property
    def may_sound(self) -> bool:
        """Whether there is a stream or a file of sound, without reading it."""
        return self.has_sound or self._beside is not None

    @property
    def _beside(self) -> Path | None:
        return next((p for s in SOUND_SUFFIXES if (p := self.path.with_suffix(s)).is_file()), None)

    def _companion(self) -> tuple[np.ndarray, np.ndarray, int] | None:
        if self._beside is None:
            return None
        try:
            samples = read_audio(self._beside).samples
        except AudioError as error:
            raise InputError(f"{self._beside.name}: {error}") from error
        return samples, samples, 16_000


def _on_one_clock(pieces: list[tuple[float, np.ndarray]], rate: int, slack_s: float = 0.04) -> np.ndarray:
    """Pieces (time in s, samples) laid end to end; gaps longer than ``slack_s`` become silence, overlaps are cut."""
    out: list[np.ndarray] = []
    position = 0
    for when, samples in pieces:
        start = round(when * rate)
        if start > position + slack_s * rate or (not out and start > 0):
            out.append(np.zeros(start - position, np.float32))
            position = start
        elif start < position - slack_s * rate or (not out and start < 0):
            samples = samples[position - start :]
        out.append(samples)
        position += len(samples)
    return np.nan_to_num(np.clip(np.concatenate(out), -1, 1))
