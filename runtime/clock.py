"""The one clock: samples at 16 kHz, speech features at 50 Hz, frames at 30 fps, counted from the start of an utterance.

Frame k shows audio time k/30 s. Feature j is centred at (320 j + 200)/16000 s. Frames read the features by linear
interpolation at their own time, so nothing depends on the length of a clip or on how its audio was cut into chunks.
"""

from __future__ import annotations

import numpy as np

SAMPLE_RATE = 16_000
FPS = 30
FEATURE_STRIDE = 320
FEATURE_FIELD = 400


def frame_count(samples: int) -> int:
    """Frames of an utterance of ``samples`` samples at 16 kHz: ceil(duration x 30)."""
    return -(-samples * FPS // SAMPLE_RATE)


def frame_time(frame: int) -> float:
    """Audio time of a frame, seconds."""
    return frame / FPS


def feature_position(frame: np.ndarray | int) -> np.ndarray:
    """Where frame k lies between the features, as a fractional feature index (may be negative), float64."""
    return (np.asarray(frame, np.float64) * SAMPLE_RATE / FPS - FEATURE_FIELD / 2) / FEATURE_STRIDE


def features_needed(frame: int) -> int:
    """How many features (indices 0 ... n-1) must exist before frame ``frame`` can be interpolated."""
    return max(int(np.floor(feature_position(frame))) + 2, 1)


def interpolate_features(features: np.ndarray, first: int, frames: np.ndarray) -> np.ndarray:
    """Features at frame times, by linear interpolation; the first feature is held before its centre.

    Args:
        features: (n, D) consecutive features.
        first: index of ``features[0]``.
        frames: (T,) frame indices whose neighbours all lie inside ``features``.

    Returns:
        (T, D) float32.
    """
    position = np.clip(feature_position(frames), 0.0, None)
    low = np.floor(position).astype(np.int64)
    share = (position - low)[:, None].astype(np.float32)
    return features[low - first] * (1.0 - share) + features[low + 1 - first] * share
