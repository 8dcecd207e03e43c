"""Which numbers the networks compute with: one word that picks a set of weights made by ``onnx_export.variants``."""

from __future__ import annotations

from pathlib import Path

from .errors import ConfigError, ModelError
from .sessions import weights_folder

PRECISIONS = ("fp32", "fp16", "int8")
"""float32 (ships, any machine), float16 (GPU), 8-bit integers in the matrix products (CPU)."""


def precise_folder(folder: str | Path | None = None, precision: str = "fp32") -> Path:
    """The weights of a precision: the weights folder itself for fp32, else its sub-folder of that name.

    Args:
        folder: as of :func:`.sessions.weights_folder`.
        precision: one of :data:`PRECISIONS`.

    Raises:
        ConfigError: for another word.
        ModelError: if the sub-folder is not there, with how to make it.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
    base = weights_folder(folder)
    if precision == "fp32":
        return base
    found = base / precision
    if not any(found.glob("*.onnx")):
        raise ModelError(
            f"expected {precision} weights in {found}, found none: make them with "
            "'python -m media2face.onnx_export.variants --out FOLDER' and give that FOLDER as weights"
        )
    return found
