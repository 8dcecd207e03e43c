"""From the latent space of GNPFA to faces: the 52 weights, or the vertices of the drawn head.

Four networks run in ONNX Runtime: ``gnpfa_from_weights`` (M), ``gnpfa_to_weights`` (M'), ``gnpfa_decoder`` (G_geo, a
neutral and z to an offset map) and, only where meshes are read, ``gnpfa_encoder`` (E_geo, an offset map and a neutral
to z). They must be of one training: M' names the latent space, the others carry its fingerprint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from .arkit import ARKIT_INDEX, ARKIT_NAMES
from .errors import InputError, ModelError
from .rig_asset import RigAsset
from .sessions import Model, load_model, require

CHUNK = 16
"""Frames per pass of G_geo: its maps stay within the cache, and memory does not grow with the length of a clip."""
_CHIN = [7, 8, 9]


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
        self._jaw: tuple[bytes, float] | None = None
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
        return self._drawing("gnpfa_decoder")

    def _drawing(self, name: str) -> Model:
        model = self._companion(name, self._threads)
        if model.meta.get("atlas") != self.rig.atlas:
            raise ModelError(
                f"{model.path} draws on the map {model.meta.get('atlas')!r}, face_rig.npz reads {self.rig.atlas!r}: "
                "use weights of one release together, or build the rig again"
            )
        return model

    @cached_property
    def _encoder(self) -> Model:
        return self._drawing("gnpfa_encoder")

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
        gain = self._jaw_gain(feeds["neutral"]) if neutral is not None and len(z) else 1.0
        for first in range(0, len(z), CHUNK):
            part = slice(first, first + CHUNK)
            offsets = self._generator.run({**feeds, "latent": z[part]})["offsets"]
            out[part] = self.rig.pose(offsets, weights[part], neutral, gain)
        return out

    def encode(self, vertices: np.ndarray, neutral: np.ndarray | None = None) -> np.ndarray:
        """Latents (T, latent_dim) f32 of meshes: E_geo, the expression without the person.

        Args:
            vertices: (T, V, 3) metres, REP-103 axes, head at rest, in the topology of :attr:`rig`.
            neutral: (V, 3) metres, the same person at rest; None is the mean identity.

        Raises:
            InputError: if a shape does not fit or values are not finite.
            ModelError: if ``gnpfa_encoder.onnx`` is missing or of another training.
        """
        feeds = {"neutral": self.rig.neutral_map(neutral)}
        vertices = np.asarray(vertices, np.float32)
        parts = [np.zeros((0, self.latent_dim), np.float32)]
        for first in range(0, len(vertices), CHUNK):
            offsets = self.rig.offset_maps(vertices[first : first + CHUNK], neutral)
            parts.append(self._encoder.run({**feeds, "offsets": offsets})["latent"])
        return np.concatenate(parts)

    def _jaw_gain(self, neutral_map: np.ndarray) -> float:
        """How far the chin of a neutral goes down with the jaw, relative to the mean identity's."""
        key = hashlib.sha256(neutral_map.tobytes()).digest()
        if self._jaw is None or self._jaw[0] != key:
            open_jaw = np.zeros((1, len(ARKIT_NAMES)), np.float32)
            open_jaw[0, ARKIT_INDEX["jawOpen"]] = 0.7
            feeds = {"latent": self.latents(open_jaw)}
            chin = self.rig.landmarks[_CHIN]
            drop = []
            for neutral in (neutral_map, np.zeros_like(neutral_map)):
                moved = self.rig.pose(self._generator.run({**feeds, "neutral": neutral})["offsets"], open_jaw)
                drop.append(float((moved[0, chin, 2] - self.rig.neutral[chin, 2]).mean()))
            self._jaw = key, float(np.clip(drop[0] / drop[1], 0.5, 1.7))
        return self._jaw[1]

    @staticmethod
    def _checked(values: np.ndarray, columns: int, what: str) -> np.ndarray:
        values = np.asarray(values, np.float32)
        if values.ndim != 2 or values.shape[1] != columns:
            raise InputError(f"expected {what} (T, {columns}), got {values.shape}")
        if not np.isfinite(values).all():
            frame = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
            raise InputError(f"{what} hold NaN or infinity (first at frame {frame}): drop or hold such frames before")
        return np.ascontiguousarray(values)
