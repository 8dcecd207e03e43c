"""ONNX Runtime sessions: where weights lie, which provider runs them, and whether a file is the one that was asked for.

Every shipped file carries a JSON record under the ONNX metadata key ``media2face`` (``model``, ``version``,
``fingerprint`` and whatever the model needs at run time), written by ``onnx_export.metadata``. A file that is missing,
of another model or of another version is refused with :class:`~media2face.runtime.errors.ModelError`.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnxruntime as ort

from .errors import ConfigError, ModelError
from .io_binding import GPU_PROVIDERS, on_host, run_bound

log = logging.getLogger(__name__)

FORMAT_VERSION = 1
"""Version of the interface between this engine and the shipped files; a file of another version is refused."""

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider", "tensorrt": "TensorrtExecutionProvider"}
_AUTO_ORDER = ("cuda", "cpu")


def weights_folder(folder: str | Path | None = None) -> Path:
    """Folder of the weight files: ``folder``, else ``$MEDIA2FACE_WEIGHTS``, else the shipped one."""
    if folder is None:
        folder = os.environ.get("MEDIA2FACE_WEIGHTS") or Path(__file__).resolve().parent.parent / "models" / "weights"
    return Path(folder)


def choose_providers(wanted: str = "auto") -> list[str]:
    """Execution providers for ``wanted``: ``auto``, ``cpu``, ``cuda`` or ``tensorrt``; the CPU is always last.

    ``auto`` takes CUDA where ONNX Runtime offers it. TensorRT builds engines for minutes at first use, so it must be
    asked for. A provider that is asked for and absent is replaced by the CPU with a warning, never silently.

    Raises:
        ConfigError: if ``wanted`` is none of the four.
    """
    if wanted != "auto" and wanted not in _PROVIDERS:
        raise ConfigError(f"provider must be auto, cpu, cuda or tensorrt, got {wanted!r}")
    offered = ort.get_available_providers()
    cpu = _PROVIDERS["cpu"]
    if wanted == "auto":
        chosen = next(_PROVIDERS[p] for p in _AUTO_ORDER if _PROVIDERS[p] in offered or p == "cpu")
        reason = "the fastest that this ONNX Runtime offers"
    elif _PROVIDERS[wanted] in offered:
        chosen, reason = _PROVIDERS[wanted], "as asked"
    else:
        chosen, reason = cpu, f"{wanted} was asked for, but this ONNX Runtime offers only {', '.join(offered)}"
        log.warning("%s", reason)
    log.info("ONNX Runtime %s runs on %s (%s)", ort.__version__, chosen, reason)
    return [chosen] if chosen == cpu else [chosen, cpu]


@dataclass
class Model:
    """One loaded ONNX file: its session, its record and the provider that really runs it."""

    name: str
    path: Path
    session: ort.InferenceSession
    meta: dict = field(default_factory=dict)
    threads: int = 1

    def __post_init__(self) -> None:
        self._outputs = [o.name for o in self.session.get_outputs()]

    @property
    def fingerprint(self) -> str:
        """Hash of the weights; other models name it to say what they were trained with."""
        return self.meta.get("fingerprint", "")

    @property
    def provider(self) -> str:
        return self.session.get_providers()[0]

    def run(
        self, feeds: Mapping[str, np.ndarray | ort.OrtValue], keep: Collection[str] = ()
    ) -> dict[str, np.ndarray | ort.OrtValue]:
        """One pass; names as in the graph.

        Outputs named in ``keep`` are only for feeding to the next pass: on a GPU they stay there (:mod:`.io_binding`).
        A provider that fails (a GPU that is lost, or out of memory) is given up for the CPU, with one warning; the pass
        is done again there. What the CPU cannot do either is raised as it comes.
        """
        try:
            return self._pass(feeds, keep)
        except Exception as error:  # ONNX Runtime raises several classes of its own
            if self.provider == _PROVIDERS["cpu"]:
                raise
            lost, self.session = self.provider, _session(self.path, [_PROVIDERS["cpu"]], self.threads)
            made = self._pass(feeds, keep)
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            log.warning("%s failed while running %s (%s): it goes on on the CPU", lost, self.name, reason)
            return made

    def _pass(
        self, feeds: Mapping[str, np.ndarray | ort.OrtValue], keep: Collection[str]
    ) -> dict[str, np.ndarray | ort.OrtValue]:
        if self.provider in GPU_PROVIDERS:
            return run_bound(self.session, self._outputs, feeds, keep)
        made = self.session.run(self._outputs, {name: on_host(value) for name, value in feeds.items()})
        return dict(zip(self._outputs, made, strict=True))


def load_model(
    name: str,
    weights_dir: str | Path | None = None,
    providers: str | Sequence[str] | None = None,
    threads: int = 1,
) -> Model:
    """Load ``<weights>/<name>.onnx`` and check that it is what its name says.

    Args:
        name: model name, e.g. ``denoiser``.
        weights_dir: folder of the weights, see :func:`weights_folder`.
        providers: ``auto`` (default), ``cpu``, ``cuda``, ``tensorrt``, or a list of ONNX Runtime providers.
        threads: threads inside one operator; one keeps several live sessions from fighting over two cores.

    Raises:
        ModelError: if the file is missing, unreadable, of another model or of another version.
    """
    path = weights_folder(weights_dir) / f"{name}.onnx"
    if not path.is_file():
        raise ModelError(
            f"expected the weights of {name!r} at {path}, found no file: reinstall the package, or point "
            "MEDIA2FACE_WEIGHTS (or --weights) at a folder that has them"
        )
    if providers is None or isinstance(providers, str):
        providers = choose_providers(providers or "auto")
    try:
        session = _session(path, list(providers), threads)
    except Exception as error:  # ONNX Runtime raises several classes of its own for a bad file
        raise ModelError(f"{path} is not a readable ONNX model ({error}): reinstall the package") from error
    return Model(name, path, session, _checked_meta(name, path, session), threads)


def _session(path: Path, providers: list[str], threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=providers)


def _checked_meta(name: str, path: Path, session: ort.InferenceSession) -> dict:
    text = session.get_modelmeta().custom_metadata_map.get("media2face")
    if text is None:
        raise ModelError(f"{path} carries no media2face record: expected a file exported by media2face.onnx_export")
    try:
        meta = json.loads(text)
    except ValueError as error:
        raise ModelError(f"the media2face record of {path} is not JSON ({error}): export it again") from error
    if meta.get("model") != name:
        raise ModelError(f"{path} holds the model {meta.get('model')!r}, expected {name!r}: was the file renamed?")
    if meta.get("version") != FORMAT_VERSION:
        raise ModelError(
            f"{path} has format version {meta.get('version')!r}, this release reads {FORMAT_VERSION}: "
            "take the weights of this release, or export again"
        )
    return meta


def require(model: Model, companion: str, fingerprint: str) -> None:
    """Refuse ``model`` unless it was trained with the companion that runs beside it.

    Raises:
        ModelError: naming both fingerprints.
    """
    trained_with = model.meta.get("requires", {}).get(companion)
    if trained_with is not None and trained_with != fingerprint:
        raise ModelError(
            f"{model.path} was trained with {companion} {trained_with}, but {fingerprint} is loaded: "
            "use weights of one release together, or train the model again on this encoder"
        )
