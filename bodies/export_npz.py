"""A performance as a compressed numpy archive, for programs; read back with :func:`read`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..runtime.errors import InputError

if TYPE_CHECKING:
    from ..runtime.offline import Performance

KEYS = ("fps", "names", "weights", "head_rotation", "head_translation", "latents", "model", "seed")


def write(
    performance: Performance,
    path: Path,
    *,
    decoder=None,
    progress: Callable[[int, int], None] | None = None,
    neutral: np.ndarray | None = None,
) -> None:
    """Write ``path``.

    Keys: ``fps`` int; ``names`` (52,) str, ARKit spelling; ``weights`` f32 (T, 52) in [0, 1]; ``head_rotation`` f32
    (T, 4) quaternion xyzw, REP-103 axes, about the neck pivot; ``head_translation`` f32 (T, 3) metres; ``latents`` f32
    (T, D); ``model`` str; ``seed`` int; of another identity also ``neutral`` f32 (V, 3), its rest mesh in metres.
    """
    face = {} if neutral is None else {"neutral": np.asarray(neutral, np.float32)}
    np.savez_compressed(
        path,
        fps=np.int64(performance.fps),
        names=np.array(performance.names, dtype=np.str_),
        weights=np.asarray(performance.weights, np.float32),
        head_rotation=np.asarray(performance.head_rotation, np.float32),
        head_translation=np.asarray(performance.head_translation, np.float32),
        latents=np.asarray(performance.latents, np.float32),
        model=np.array(performance.model, dtype=np.str_),
        seed=np.int64(performance.seed),
        **face,
    )
    if progress:
        progress(len(performance.weights), len(performance.weights))


def read(path: str | Path) -> Performance:
    """A performance from a file that :func:`write` made; its ``audio`` is None.

    Raises:
        InputError: not such a file.
    """
    from ..runtime.offline import Performance

    try:
        with np.load(path, allow_pickle=False) as file:
            data = {key: file[key] for key in KEYS}
    except Exception as error:  # zipfile, zlib, tokenize and numpy each raise their own for a damaged file
        raise InputError(f"expected a performance (.npz with {', '.join(KEYS)}) at {path}: {error}") from error
    return Performance(
        weights=data["weights"],
        head_rotation=data["head_rotation"],
        head_translation=data["head_translation"],
        latents=data["latents"],
        model=str(data["model"]),
        seed=int(data["seed"]),
        fps=int(data["fps"]),
        names=tuple(str(n) for n in data["names"]),
    )
