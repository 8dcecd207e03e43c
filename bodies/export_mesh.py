"""Every vertex of every frame as a numpy archive, for programs that have no use for shapes.

The vertices are streamed into the archive, so that memory does not grow with the length; about 4 MB a second of motion.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .export_mp4 import meshes

if TYPE_CHECKING:
    from ..runtime.offline import Performance

STEP = 1e-5
"""Metres of one unit of the stored differences: half of it, 5 microns, is the largest error."""


def write(
    performance: Performance,
    path: Path,
    *,
    decoder=None,
    progress: Callable[[int, int], None] | None = None,
    neutral: np.ndarray | None = None,
) -> None:
    """Write ``path``.

    Keys: ``moved`` int16 (T, V, 3), so that vertices in metres = ``neutral`` + ``step`` x ``moved``, head at rest;
    ``step``; ``neutral`` f32 (V, 3) of this face; ``triangles`` int32 (F, 3); ``uv`` f32 (V, 2); ``fps``;
    ``head_rotation`` (T, 4) xyzw and ``head_translation`` (T, 3) as in ``.npz``, about ``neck_pivot`` (3,). REP-103.
    """
    if decoder is None:
        from ..runtime.decoder import FaceDecoder

        decoder = FaceDecoder()
    rig = decoder.rig
    rest = np.asarray(rig.neutral if neutral is None else neutral, np.float32)
    total = len(performance.weights)
    fixed = {
        "fps": np.int64(performance.fps), "step": np.float64(STEP), "neutral": rest,
        "triangles": np.asarray(rig.triangles, np.int32), "uv": np.asarray(rig.uv, np.float32),
        "head_rotation": np.asarray(performance.head_rotation, np.float32),
        "head_translation": np.asarray(performance.head_translation, np.float32),
        "neck_pivot": np.asarray(rig.neck_pivot, np.float32),
    }  # fmt: skip
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, values in fixed.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, np.asanyarray(values), allow_pickle=False)
        with archive.open("moved.npy", "w", force_zip64=True) as file:
            header = {"descr": "<i2", "fortran_order": False, "shape": (total, *rest.shape)}
            np.lib.format.write_array_header_1_0(file, header)
            for k, vertices in enumerate(meshes(decoder, performance.latents, neutral)):
                file.write(np.round((vertices - rest) / STEP).astype("<i2").tobytes())
                if progress:
                    progress(k + 1, total)
