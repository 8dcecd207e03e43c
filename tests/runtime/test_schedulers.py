import numpy as np
import pytest

from media2face.runtime.errors import ConfigError
from media2face.runtime.schedulers import DDIMScheduler, cosine_alphas


def test_the_cosine_schedule_falls_from_one_to_almost_zero():
    alphas = cosine_alphas(500)
    assert alphas[0] == 1.0
    assert alphas[-1] == pytest.approx(1e-5)
    assert (np.diff(alphas) <= 0).all()
    assert alphas[250] == pytest.approx(0.4938, abs=1e-3)


def test_timesteps():
    scheduler = DDIMScheduler(500)
    scheduler.set_timesteps(4)
    assert scheduler.timesteps.tolist() == [500, 375, 250, 125]


def test_a_perfect_network_recovers_the_sample_from_any_number_of_steps():
    rng = np.random.default_rng(0)
    truth, noise = rng.standard_normal((2, 7, 3)).astype(np.float32)
    for steps in (1, 2, 5, 50):
        scheduler = DDIMScheduler(500)
        scheduler.set_timesteps(steps)
        x = scheduler.add_noise(truth, noise, 500)
        for t in scheduler.timesteps:
            x = scheduler.step(truth, int(t), x)
        np.testing.assert_allclose(x, truth, atol=1e-5)


def test_ddim_draws_from_the_data_distribution():
    """For data N(2, 0.5), whose best x0 prediction is known, DDIM's samples have that mean and deviation."""
    scheduler = DDIMScheduler(500)
    scheduler.set_timesteps(100)
    x = np.random.default_rng(1).standard_normal(20_000).astype(np.float32)
    mean, var = 2.0, 0.25
    for t in scheduler.timesteps:
        a = scheduler.alphas[t]
        gain = np.sqrt(a) * var / (a * var + 1 - a)
        x = scheduler.step(mean + gain * (x - np.sqrt(a) * mean), int(t), x)
    assert x.mean() == pytest.approx(mean, abs=0.02)
    assert x.std() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("steps", [0, -1, 501, 10_000])
def test_steps_out_of_range_are_refused(steps):
    with pytest.raises(ConfigError, match="steps must lie within 1 and 500"):
        DDIMScheduler(500).set_timesteps(steps)
