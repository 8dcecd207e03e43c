"""The one-euro filter."""

import numpy as np
import pytest

from media2face.runtime.one_euro import OneEuro


def test_noise_shrinks_and_steps_arrive():
    rng = np.random.default_rng(0)
    noisy, filtered = rng.normal(0, 0.01, (300, 2)), OneEuro(1.0, 1.0)
    still = np.array([filtered(x, k / 30) for k, x in enumerate(noisy)])
    assert still[50:].std() < 0.5 * noisy[50:].std()
    jump = OneEuro(1.0, 1.0)
    out = [float(jump(np.array([0.0 if k < 30 else 1.0]), k / 30)[0]) for k in range(60)]
    assert out[29] == 0.0 and out[45] > 0.95


def test_faster_motion_is_followed_sooner():
    def lag(slope: float) -> float:
        filtered = OneEuro(1.0, slope)
        return 60 / 30 - float([filtered(np.array([k / 30]), k / 30) for k in range(61)][-1][0])

    assert lag(2.0) < 0.6 * lag(0.0)


def test_first_value_and_equal_times():
    filtered = OneEuro(2.0, 0.0, together=True)
    assert np.array_equal(filtered(np.array([3.0, 4.0]), 1.0), [3.0, 4.0])
    assert np.isfinite(filtered(np.array([5.0, 6.0]), 1.0)).all()
    filtered.reset()
    assert np.array_equal(filtered(np.array([9.0, 9.0]), 0.0), [9.0, 9.0])
    with pytest.raises(ValueError, match="cutoffs"):
        OneEuro(0.0, 1.0)
