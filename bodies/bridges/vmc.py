"""Virtual Motion Capture protocol (VMC, protocol.vmc.info): OSC bundles over UDP, port 39539, for VRM avatars.

This is the part of a "performer" that concerns a face. Per frame:

==========================  ==============================================================================
address                     arguments
==========================  ==============================================================================
``/VMC/Ext/OK``             1 (loaded), 3 (calibrated), 0 (normal mode)
``/VMC/Ext/T``              seconds since the bridge began, float
``/VMC/Ext/Bone/Pos``       bone, position x y z (m), rotation x y z w: Neck, Head, LeftEye, RightEye
``/VMC/Ext/Blend/Val``      shape, weight: the 52 shapes
``/VMC/Ext/Blend/Apply``    nothing: the shapes of this frame are complete
==========================  ==============================================================================

Bones are local to their parents in Unity's axes: left-handed, x to the face's own right, y up, z forward. A bundle
stays under 1,400 bytes, so that no datagram is cut on its way; ``Apply`` stands at the end of the last one.
"""

from __future__ import annotations

import struct
from collections import Counter
from functools import cache

import numpy as np
from pythonosc.osc_message_builder import OscMessageBuilder

from ...runtime.arkit import ARKIT_NAMES
from ...runtime.errors import ConfigError
from ...runtime.eyes import eye_angles
from ...runtime.presentation import NS
from ..frames import FaceFrame
from .udp import UdpSender

PORT = 39539
MAX_BUNDLE = 1400
SPELLINGS = {
    "perfect_sync": tuple(name[0].upper() + name[1:] for name in ARKIT_NAMES),  # JawOpen: clips of VRM 0 avatars
    "arkit": ARKIT_NAMES,  # jawOpen
}
REST = {
    "Neck": (0.0, 0.06, 0.0),
    "Head": (0.0, 0.06, 0.0),
    "LeftEye": (-0.031, 0.086, 0.094),
    "RightEye": (0.031, 0.086, 0.094),
}
"""Where bones are against their parents, m, in Unity's axes: eyes against the neck pivot as in our own head. Receivers
that take positions over as well as rotations see a human head's, whatever the avatar's."""
NECK_SHARE = 0.4
"""Part of the head's rotation that the neck makes; the head bone makes the rest."""


def unity_rotation(quaternion: np.ndarray) -> np.ndarray:
    """A rotation about REP-103's axes (quaternion xyzw) as Unity's: the axes map to (-y, z, x), the sense turns."""
    x, y, z, w = quaternion
    return np.array([y, -z, -x, w])


def unity_position(point: np.ndarray) -> np.ndarray:
    """A point (3,), REP-103, m, in Unity's axes."""
    x, y, z = point
    return np.array([-y, z, x])


def partial_rotation(quaternion: np.ndarray, share: float) -> np.ndarray:
    """``share`` of a rotation (quaternion xyzw) about the same axis."""
    q = np.asarray(quaternion, np.float64)
    q = q if q[3] >= 0 else -q
    sine = np.linalg.norm(q[:3])
    if sine < 1e-9:
        return np.array([0.0, 0.0, 0.0, 1.0])
    half = share * np.arctan2(sine, q[3])
    return np.append(q[:3] / sine * np.sin(half), np.cos(half))


def eye_rotation(weights: np.ndarray, side: str) -> np.ndarray:
    """Quaternion xyzw (REP-103) of an eye from weights (52,): pitch about its own left axis first, then yaw."""
    yaw, pitch = eye_angles(weights[None], side)[0] / 2.0
    sy, cy, sp, cp = np.sin(yaw), np.cos(yaw), np.sin(pitch), np.cos(pitch)
    return np.array([-sy * sp, cy * sp, sy * cp, cy * cp])


def messages(frame: FaceFrame, seconds: float, names: tuple[str, ...] = SPELLINGS["perfect_sync"]) -> list[bytes]:
    """A frame's messages, in order, each as OSC encodes it."""
    neck = unity_rotation(partial_rotation(frame.rotation, NECK_SHARE))
    head = unity_rotation(partial_rotation(frame.rotation, 1.0 - NECK_SHARE))
    bones = {"Neck": neck, "Head": head}
    for side in ("left", "right"):
        bones[f"{side.capitalize()}Eye"] = unity_rotation(eye_rotation(frame.weights, side))
    shift = {"Neck": unity_position(frame.translation)}
    found = [_constant("/VMC/Ext/OK", (1, 3, 0)), _message("/VMC/Ext/T", "", seconds)]
    for bone, rotation in bones.items():
        position = REST[bone] + shift.get(bone, np.zeros(3))
        found.append(_message("/VMC/Ext/Bone/Pos", bone, *position, *rotation))
    for name, weight in zip(names, frame.weights.tolist(), strict=True):
        found.append(_message("/VMC/Ext/Blend/Val", name, weight))
    return [*found, _constant("/VMC/Ext/Blend/Apply", ())]


def bundles(parts: list[bytes]) -> list[bytes]:
    """Datagrams of at most :data:`MAX_BUNDLE` bytes that hold the messages in order, to be used at once."""
    datagrams: list[bytearray] = []
    for part in parts:
        if not datagrams or len(datagrams[-1]) + 4 + len(part) > MAX_BUNDLE:
            datagrams.append(bytearray(b"#bundle\0" + (1).to_bytes(8, "big")))
        datagrams[-1] += len(part).to_bytes(4, "big") + part
    return [bytes(datagram) for datagram in datagrams]


class VmcSender:
    """Sends frames to a VMC marionette (VSeeFace, Warudo, VNyan, Unity and Unreal plug-ins).

    Args:
        address: ``host`` or ``host:port`` of the receiver.
        names: spelling of the shapes, one of :data:`SPELLINGS`.

    Raises:
        ConfigError: if a setting cannot be used or the host is not known.
    """

    def __init__(self, address: str, names: str = "perfect_sync") -> None:
        if names not in SPELLINGS:
            raise ConfigError(f"vmc_names: expected one of {', '.join(SPELLINGS)}, got {names!r}")
        self._names = SPELLINGS[names]
        self._began: int | None = None
        self._udp = UdpSender(address, PORT, "vmc")
        self.line = f"VMC to {self._udp.line}"

    @property
    def counts(self) -> Counter[str]:
        """What could not be sent."""
        return self._udp.counts

    def send(self, frame: FaceFrame) -> None:
        """Send one frame; never waits."""
        if self._began is None:
            self._began = frame.present
        for datagram in bundles(messages(frame, (frame.present - self._began) / NS, self._names)):
            if not self._udp.send(datagram):
                return

    def close(self) -> None:
        """Let the socket go."""
        self._udp.close()


@cache
def _constant(address: str, arguments: tuple) -> bytes:
    builder = OscMessageBuilder(address)
    for value in arguments:
        builder.add_arg(value, {str: "s", int: "i", float: "f"}[type(value)])
    return builder.build().dgram


def _message(address: str, name: str, *values: float) -> bytes:
    """A message with a name (where there is one) and floats, which stand at its end: only they are encoded anew."""
    whole = _constant(address, (*([name] if name else []), *(0.0 for _ in values)))
    return whole[: -4 * len(values)] + struct.pack(f">{len(values)}f", *values)
