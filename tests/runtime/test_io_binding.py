"""IO binding gives what plain runs give; on a CPU it can be tested, on a GPU it is used."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

from media2face.runtime import sessions
from media2face.runtime.io_binding import on_host, run_bound
from media2face.runtime.sessions import load_model, weights_folder
from media2face.runtime.speech import SpeechEncoder

pytestmark = pytest.mark.skipif(not (weights_folder() / "speech_context.onnx").is_file(), reason="no weights")


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    swell = 0.06 + 0.05 * np.sin(np.arange(int(16_000 * seconds)) / 900)
    return (rng.standard_normal(len(swell)) * swell).astype(np.float32)


def test_a_recurrence_with_kept_caches_equals_plain_runs():
    model = load_model("speech_context", providers="cpu")
    rng, outputs = np.random.default_rng(0), [o.name for o in model.session.get_outputs()]
    state = {"position_past": np.zeros(model.meta["position_past"], np.float32),
             "past": np.zeros(model.meta["past"], np.float32)}  # fmt: skip
    plain, bound = dict(state), dict(state)
    for step in range(6):
        frames = rng.standard_normal((1, 4, model.meta["dim"])).astype(np.float32)
        feeds = {"frames": frames, "seen": np.array(4 * step, np.int64)}
        a = model.run(feeds | plain)
        b = run_bound(model.session, outputs, feeds | bound, keep=("position_next", "past_next"))
        assert np.array_equal(a["hidden"], b["hidden"]) and isinstance(b["past_next"], ort.OrtValue)
        plain = {"position_past": a["position_next"], "past": a["past_next"]}
        bound = {"position_past": b["position_next"], "past": b["past_next"]}
    assert np.array_equal(on_host(bound["past"]), plain["past"]) and np.abs(plain["past"]).max() > 0.1


def test_a_stream_bound_as_on_a_gpu_gives_the_same_features(monkeypatch):
    encoder, x = SpeechEncoder(providers="cpu"), voice(1.2)
    plain = encoder.encode(x)
    bound_runs = []
    monkeypatch.setattr(sessions, "GPU_PROVIDERS", ("CPUExecutionProvider",))
    monkeypatch.setattr(sessions, "run_bound", lambda *args: bound_runs.append(args[3]) or run_bound(*args))
    stream = encoder.stream()
    for at in range(0, len(x), 1111):
        stream.accept_waveform(x[at : at + 1111])
    assert isinstance(stream._past, ort.OrtValue), "the caches stay on the device"
    stream.input_finished()
    features = stream.read()[1]
    assert np.abs(features - plain).max() <= 1e-5 and ("position_next", "past_next") in bound_runs


def test_values_kept_by_a_device_are_read_by_a_session_without_one():
    """What a provider left behind when it failed goes on, on the CPU."""
    model = load_model("gnpfa_from_weights", providers="cpu")
    weights = np.random.default_rng(0).random((3, 52), np.float32)
    kept = ort.OrtValue.ortvalue_from_numpy(weights)
    assert np.array_equal(model.run({"weights": kept})["latent"], model.run({"weights": weights})["latent"])


def test_arrays_that_do_not_lie_in_order_are_bound():
    model = load_model("gnpfa_from_weights", providers="cpu")
    weights = np.random.default_rng(0).random((52, 3), np.float32).T
    made = run_bound(model.session, ["latent"], {"weights": weights})
    assert np.array_equal(made["latent"], model.run({"weights": weights.copy()})["latent"])
