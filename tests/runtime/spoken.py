"""Sound for tests of speech encoders, and what must hold for every one of them."""

import numpy as np


def voice(seconds: float, seed: int = 0) -> np.ndarray:
    """A buzzing, swelling sound that gives the encoder something to do."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(16_000 * seconds)) / 16_000
    buzz = np.sign(np.sin(2 * np.pi * 120 * t)) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * t))
    return (0.1 * buzz + 0.02 * rng.standard_normal(len(t))).astype(np.float32)


def check_any_chunks(encoder, x: np.ndarray, longest: tuple[int, ...]) -> None:
    """The features of ``x`` (n,) are the same however it is cut, into pieces of up to each of ``longest`` samples."""
    whole = encoder.encode(x)
    for seed, largest in enumerate(longest, 1):
        rng, stream, parts, at = np.random.default_rng(seed), encoder.stream(), [], 0
        while at < len(x):
            n = int(rng.integers(0, largest))
            stream.accept_waveform(x[at : at + n])
            first, features = stream.read()
            assert first == sum(map(len, parts))
            parts.append(features)
            at += n
        stream.input_finished()
        parts.append(stream.read()[1])
        assert np.abs(np.concatenate(parts) - whole).max() <= 1e-5
