"""A provider that fails at run time: the pass is done again on the CPU, once said, and the motion is the same."""

import logging

import numpy as np
import pytest

from media2face.runtime.sampler import MotionSampler
from media2face.runtime.sessions import load_model


class LostDevice:
    """A session on a GPU that answers ``good`` passes and then is lost."""

    def __init__(self, session, good: int) -> None:
        self._session, self._good = session, good

    def get_providers(self):
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def get_outputs(self):
        return self._session.get_outputs()

    def io_binding(self):
        return self._session.io_binding()

    def run_with_iobinding(self, binding):
        if self._good == 0:
            raise RuntimeError("CUDA failure 700: an illegal memory access was encountered")
        self._good -= 1
        self._session.run_with_iobinding(binding)


def walk(sampler):
    stream = sampler.stream(0)
    stream.accept_features(0, np.random.default_rng(0).standard_normal((60, sampler.audio_dim)).astype(np.float32))
    return np.stack([f.latent for f in stream.frames_ready()])


def test_a_lost_device_is_given_up_for_the_cpu_once(caplog):
    sampler = MotionSampler(providers="cpu")
    wanted = walk(sampler)
    sampler.model.session = LostDevice(sampler.model.session, good=5)
    assert sampler.model.provider == "CUDAExecutionProvider"
    with caplog.at_level(logging.WARNING):
        made = walk(sampler)
    np.testing.assert_allclose(made, wanted, atol=1e-5)
    assert sampler.model.provider == "CPUExecutionProvider"
    said = [r.getMessage() for r in caplog.records]
    assert len(said) == 1 and "goes on on the CPU" in said[0] and "illegal memory access" in said[0]


def test_what_the_cpu_cannot_do_is_raised():
    model = load_model("gnpfa_to_weights", providers="cpu")
    with pytest.raises(Exception, match="(?i)latent|input"):
        model.run({"nothing": np.zeros(3, np.float32)})
