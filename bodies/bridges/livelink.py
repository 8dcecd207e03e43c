"""Live Link Face: the datagram that Apple's ARKit face source in Unreal Engine reads, version 6, UDP port 11111.

Layout, integers and floats big-endian:

====================  =======================================================================================
bytes                 what
====================  =======================================================================================
1                     version, 6
4 + n                 device id: length, then UTF-8
4 + n                 subject name, the one that Unreal lists: length, then UTF-8
4, 4                  frame time: frame number (int32), part of a frame (float32, 0 to 1)
4, 4                  frame rate: numerator and denominator (int32)
1                     number of channels, 61
61 x 4                channels (float32), in the order of Unreal's ``EARFaceBlendShape``
====================  =======================================================================================

The nine angles are in radians; :mod:`.livelink_names` says what their signs are, and where they come from.
"""

from __future__ import annotations

import struct
import time
import uuid
from collections import Counter

import numpy as np

from ...runtime.clock import FPS
from ...runtime.errors import ConfigError
from ...runtime.presentation import NS
from ..frames import FaceFrame
from ..livelink_names import livelink_values
from .udp import UdpSender

PORT = 11111
VERSION = 6
MAX_NAME = 64


def encode(device: str, subject: str, present: int, values: np.ndarray) -> bytes:
    """The datagram; ``present`` (ns) becomes the frame time, counted at 30 fps from the day's beginning, local time."""
    day = time.localtime(present // NS)
    seconds = 3600 * day.tm_hour + 60 * day.tm_min + day.tm_sec
    frames = (seconds * NS + present % NS) * FPS / NS
    texts = b"".join(struct.pack(">i", len(text)) + text for text in (device.encode(), subject.encode()))
    moment = struct.pack(">ifii", int(frames), frames % 1.0, FPS, 1)
    return bytes((VERSION,)) + texts + moment + bytes((len(values),)) + values.astype(">f4").tobytes()


class LiveLinkSender:
    """Sends frames to Unreal Engine, or to whatever else reads Live Link Face.

    Args:
        address: ``host`` or ``host:port`` of the receiver.
        subject: the name under which Unreal lists the face.

    Raises:
        ConfigError: if a setting cannot be used or the host is not known.
    """

    def __init__(self, address: str, subject: str = "media2face") -> None:
        if not 0 < len(subject.encode()) <= MAX_NAME or not subject.isprintable():
            raise ConfigError(f"livelink_subject: expected a name of 1 to {MAX_NAME} bytes, got {subject!r}")
        self.subject = subject
        self._device = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{subject}.media2face")).upper()
        self._udp = UdpSender(address, PORT, "livelink")
        self.line = f"Live Link Face {subject!r} to {self._udp.line}"

    @property
    def counts(self) -> Counter[str]:
        """What could not be sent."""
        return self._udp.counts

    def send(self, frame: FaceFrame) -> None:
        """Send one frame; never waits."""
        values = livelink_values(frame.weights[None], frame.rotation[None])[0]
        self._udp.send(encode(self._device, self.subject, frame.present, values))

    def close(self) -> None:
        """Let the socket go."""
        self._udp.close()
