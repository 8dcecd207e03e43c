"""From the latent space of GNPFA to faces: the 52 weights, or the vertices of the drawn head.

Three networks run in ONNX Runtime: ``gnpfa_from_weights`` (M), ``gnpfa_to_weights`` (M') and ``gnpfa_decoder``
(G_geo, a neutral and z to an offset map). They must be of one training: M' names the latent space, the others carry
its fingerprint.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from .arkit import ARKIT_NAMES
from .errors import InputError, ModelError
from .rig_asset import RigAsset
from .sessions import Model, load_model, require

CHUNK = 16
"""Frames per pass of G_geo: its maps stay within the cache, and memory does not grow with the length of a clip."""


class FaceDecoder:
    """The run-time side of GNPFA.

    Args:
        weights_dir: folder of the weights; None is the shipped one.
        providers: see ``runtime.sessions.load_model``.
        threads: threads of G_geo inside one operator.

    Raises:
        ModelError: if a file is missing, wrong, or of another training than its companions.
    """

    def __init__(
        self,
        weights_dir: str | Path | None = None,
        providers: str | Sequence[str] | None = None,
        threads: int = 1,
    ) -> None:
        self._folder, self._providers, self._threads = weights_dir, providers, threads
        self._to_weights = load_model("gnpfa_to_weights", weights_dir, providers)
        self._from_weights = self._companion("gnpfa_from_weights")
        self.latent_dim: int = int(self._to_weights.meta["latent_dim"])

    def _companion(self, name: str, threads: int = 1) -> Model:
        model = load_model(name, self._folder, self._providers, threads)
        require(model, "gnpfa_to_weights", self.fingerprint)
        return model

    @property
    def fingerprint(self) -> str:
        """Names the latent space; a motion generator trained in another one is refused."""
        return self._to_weights.fingerprint

    @property
    def meta(self) -> dict:
        """The record of M': ``z_mean`` and ``z_std`` (latent_dim,) over realistic faces, errors, sizes."""
        return self._to_weights.meta

    @cached_property
    def rig(self) -> RigAsset:
        """The drawn head, read at first use."""
        return RigAsset.load(self._folder)

    @cached_property
    def _generator(self) -> Model:
        model = self._companion("gnpfa_decoder", self._threads)
        if model.meta.get("atlas") != self.rig.atlas:
            raise ModelError(
                f"{model.path} draws on the map {model.meta.get('atlas')!r}, face_rig.npz reads {self.rig.atlas!r}: "
                "use weights of one release together, or build the rig again"
            )
        return model

    def weights(self, z: np.ndarray) -> np.ndarray:
        """Blendshape weights (T, 52) f32 in [0, 1], ARKit order, of latents (T, latent_dim).

        Raises:
            InputError: if the shape does not fit or values are not finite.
        """
        return self._to_weights.run({"latent": self._checked(z, self.latent_dim, "latents")})["weights"]

    def latents(self, weights: np.ndarray) -> np.ndarray:
        """Latents (T, latent_dim) of weights (T, 52); weights are clipped to [0, 1].

        Raises:
            InputError: if the shape does not fit or values are not finite.
        """
        weights = np.clip(self._checked(weights, len(ARKIT_NAMES), "weights"), 0.0, 1.0)
        return self._from_weights.run({"weights": weights})["latent"]

    def mesh(self, z: np.ndarray, neutral: np.ndarray | None = None) -> np.ndarray:
        """Vertices (T, V, 3) f32 of the drawn head, metres in REP-103 axes, head at rest.

        Args:
            z: (T, latent_dim).
            neutral: (V, 3) metres, another identity in the topology of :attr:`rig`; None is the mean identity.

        Raises:
            InputError: if a shape does not fit or values are not finite.
        """
        z = self._checked(z, self.latent_dim, "latents")
        out = np.empty((len(z), *self.rig.neutral.shape), np.float32)
        feeds = {"neutral": self.rig.neutral_map(neutral)}
        weights = self.weights(z)
        for first in range(0, len(z), CHUNK):
            part = slice(first, first + CHUNK)
            offsets = self._generator.run({**feeds, "latent": z[part]})["offsets"]
            out[part] = self.rig.pose(offsets, weights[part], neutral)
        return out

    @staticmethod
    def _checked(values: np.ndarray, columns: int, what: str) -> np.ndarray:
        values = np.asarray(values, np.float32)
        if values.ndim != 2 or values.shape[1] != columns:
            raise InputError(f"expected {what} (T, {columns}), got {values.shape}")
        if not np.isfinite(values).all():
            frame = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            raise InputError(f"{what} hold NaN or infinity (first at frame {frame}): drop or hold such frames before")
        return np.ascontiguousarray(values)
