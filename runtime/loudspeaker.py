"""The loudspeaker: a device that pulls sound from a :class:`.PlaybackBuffer` by the clock, or silence by the clock."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from .clock import SAMPLE_RATE
from .errors import AudioError
from .presentation import NS, PlaybackBuffer
from .sources import sound_system

BLOCK_S = 0.02
MAX_DRIFT = NS // 66
"""A device that is further (15 ms) from the clock than this is set right by one jump."""


class Loudspeaker:
    """Plays the buffer on a device; the sample for time t leaves the device at t.

    Args:
        buffer: what is to be heard.
        now: the clock, ns.
        device: name or number of the output; "" is the default one.

    Raises:
        AudioError: if there is no sound system, or no such device.
    """

    real = True

    def __init__(self, buffer: PlaybackBuffer, now: Callable[[], int], device: str = "") -> None:
        sd = sound_system()
        self._buffer, self._now = buffer, now
        self._heard: int | None = None
        self.jumps = 0
        try:
            self._stream = sd.OutputStream(
                samplerate=SAMPLE_RATE, device=int(device) if device.isdigit() else device or None, channels=1,
                dtype="float32", blocksize=round(BLOCK_S * SAMPLE_RATE), callback=self._fill,
            )  # fmt: skip
        except (sd.PortAudioError, ValueError) as error:
            raise AudioError(f"no loudspeaker can be opened ({error})") from error

    def start(self) -> None:
        """Begin to play."""
        self._stream.start()

    def stop(self) -> None:
        """Stop and let the device go."""
        self._stream.stop()
        self._stream.close()

    def pull(self) -> float:
        """Nothing to do: the device asks by itself. Returns the seconds until the next call."""
        return 1.0

    def _fill(self, out: np.ndarray, frames: int, when, status: object) -> None:
        latency = max(when.outputBufferDacTime - when.currentTime, 0.0)
        leaves = self._now() + round(latency * NS)
        if self._heard is None or abs(leaves - self._heard) > MAX_DRIFT:
            self.jumps += self._heard is not None
            self._heard = leaves
        out[:, 0] = self._buffer.read(self._heard, frames)
        self._heard += frames * NS // SAMPLE_RATE


class SilentLoudspeaker:
    """No device: the sound is used up by the clock, block by block, and nobody hears it."""

    real = False
    jumps = 0

    def __init__(self, buffer: PlaybackBuffer, now: Callable[[], int]) -> None:
        self._buffer, self._now = buffer, now
        self._heard: int | None = None

    def start(self) -> None:
        """Begin to play."""
        self._heard = self._now()

    def stop(self) -> None:
        """Stop."""

    def pull(self) -> float:
        """Use up the sound until now; returns the seconds until the next block is complete."""
        now = self._now()
        if now - self._heard > NS:  # the clock jumped, or the machine slept
            self._heard = now
        block = round(BLOCK_S * SAMPLE_RATE)
        step = block * NS // SAMPLE_RATE
        while self._heard + step <= now:
            self._buffer.read(self._heard, block)
            self._heard += step
        return (self._heard + step - now) / NS


def open_loudspeaker(
    buffer: PlaybackBuffer, device: str = "auto", now: Callable[[], int] = time.time_ns
) -> tuple[Loudspeaker | SilentLoudspeaker, str]:
    """The loudspeaker for ``device`` and one line about it: "auto" falls back to silence, "none" is silence.

    Raises:
        AudioError: if a device was named and cannot be opened.
    """
    if device == "none":
        return SilentLoudspeaker(buffer, now), "silent, as asked: the clock plays"
    if device != "auto":
        return Loudspeaker(buffer, now, device), f"plays on {device}"
    try:
        return Loudspeaker(buffer, now), "plays on the default device"
    except AudioError as error:
        return SilentLoudspeaker(buffer, now), f"silent: {error}; the clock plays"
