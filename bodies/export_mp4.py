"""A performance as a film: the rendered head with its speech, H.264 and AAC through PyAV's wheels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from ..runtime.audio_io import AudioFile, StreamingResampler
from ..runtime.clock import SAMPLE_RATE
from .render import Renderer

if TYPE_CHECKING:
    from ..runtime.offline import Performance

SIZE = (512, 512)  # pixels; even, as 4:2:0 colour needs
SOUND_RATE = 48_000
BATCH = 32  # frames decoded to geometry at once: 10 MB


def write(
    performance: Performance,
    path: Path,
    *,
    decoder=None,
    progress: Callable[[int, int], None] | None = None,
    neutral: np.ndarray | None = None,
) -> None:
    """Write ``path``: frame k is shown at k / fps seconds of the sound, which is mono at 48 kHz.

    Memory does not grow with the length. Without ``performance.audio`` the film is silent.
    """
    if decoder is None:
        from ..runtime.decoder import FaceDecoder

        decoder = FaceDecoder()
    renderer = Renderer(decoder.rig, SIZE)
    drawn = meshes(decoder, performance.latents, neutral)
    poses = zip(drawn, performance.head_rotation, performance.head_translation, strict=True)
    images = (renderer.render(*pose) for pose in poses)
    write_film(path, images, SIZE, performance.fps, performance.audio, progress, len(performance.weights))


def write_film(
    path: Path, images: Iterable[np.ndarray], size: tuple[int, int], fps: int, audio: str | Path | np.ndarray | None,
    progress: Callable[[int, int], None] | None = None, total: int = 0,
) -> None:  # fmt: skip
    """Write pictures (H, W, 3) uint8 of one even ``size`` (W, H), at ``fps``, with a sound or None."""
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as film:
        picture = _picture_stream(film, fps, size)
        sound = _Sound(film, audio) if audio is not None else None
        for k, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts, frame.time_base = k, Fraction(1, fps)
            film.mux(picture.encode(frame))
            if sound:
                sound.write_until((k + 1) / fps)
            if progress:
                progress(k + 1, total)
        film.mux(picture.encode())
        if sound:
            sound.finish()


def _picture_stream(film: av.container.OutputContainer, fps: int, size: tuple[int, int]) -> av.VideoStream:
    codec = "libx264" if "libx264" in av.codecs_available else "libopenh264"
    options = {"crf": "19", "preset": "veryfast"} if codec == "libx264" else {"b": "2000000"}
    stream = film.add_stream(codec, rate=fps, options=options)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.color_primaries = context.color_trc = context.colorspace = 1  # BT.709
    context.color_range = 1  # limited, what players expect
    return stream


class _Sound:
    """Feeds the speech to the film's AAC stream, a little ahead of the pictures."""

    def __init__(self, film: av.container.OutputContainer, audio: str | Path | np.ndarray):
        self._film = film
        self._stream = film.add_stream("aac", rate=SOUND_RATE, layout="mono")
        self._stream.bit_rate = 112_000
        self._blocks = _speech(audio)
        self._written = 0

    def write_until(self, seconds: float) -> None:
        """Encode what is heard up to a time."""
        while self._written < seconds * SOUND_RATE:
            block = next(self._blocks, None)
            if block is None:
                return
            self._encode(block)

    def finish(self) -> None:
        """Encode the rest."""
        for block in self._blocks:
            self._encode(block)
        self._film.mux(self._stream.encode())

    def _encode(self, block: np.ndarray) -> None:
        if not len(block):
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block[None]), format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SOUND_RATE, self._written, Fraction(1, SOUND_RATE)
        self._written += len(block)
        self._film.mux(self._stream.encode(frame))


def _speech(audio: str | Path | np.ndarray) -> Iterator[np.ndarray]:
    """Mono blocks at 48 kHz of a file, or of samples at 16 kHz."""
    if isinstance(audio, np.ndarray):
        resampler = StreamingResampler(SAMPLE_RATE, SOUND_RATE)
        for start in range(0, len(audio), SAMPLE_RATE):
            yield resampler.accept(audio[start : start + SAMPLE_RATE])
        yield resampler.finish()
    else:
        with AudioFile(audio) as source:
            yield from source.blocks(SOUND_RATE)


def meshes(decoder, latents: np.ndarray, neutral: np.ndarray | None) -> Iterator[np.ndarray]:
    """Vertices (V, 3) of every frame."""
    face = {} if neutral is None else {"neutral": neutral}
    for start in range(0, len(latents), BATCH):
        yield from decoder.mesh(latents[start : start + BATCH], **face)
