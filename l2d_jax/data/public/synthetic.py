"""Synthetic data sets whose distribution is known in closed form.

Each is made anew at every call, the same bit by bit.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from l2d_jax.types import Collection

LENGTH = 24
AR1_COEFFICIENTS = (0.9, 0.5)  # one a channel
SINES_HIGHEST = 0.1  # of frequency, radians a step, and of phase, radians
MIXTURE_SD = 0.05  # of the noise around each template
MIXTURE_WEIGHTS = (0.30, 0.20, 0.15, 0.12, 0.10, 0.07, 0.04, 0.02)


def sines() -> Collection:
    """10,000 x 24 x 5: (sin(f t + p) + 1) / 2, f and p uniform in (0, 0.1) a channel.

    The Sines of TimeGAN (Yoon et al. 2019) and Diffusion-TS: independent channels, in
    [0, 1]. See `sines_mean` and `sines_covariance`.
    """
    shape = (10_000, 1, 5)
    rng = generator(1)
    frequency = rng.uniform(0.0, SINES_HIGHEST, shape)
    phase = rng.uniform(0.0, SINES_HIGHEST, shape)
    steps = np.arange(LENGTH)[:, None]
    series = (np.sin(frequency * steps + phase) + 1) / 2
    return collection("sines", series, channels=tuple(f"sine_{i}" for i in range(1, 6)))


def ar1() -> Collection:
    """5,000 x 24 x 2: stationary Gaussian x_t = a x_{t-1} + sqrt(1 - a^2) e_t.

    a = 0.9 in the first channel and 0.5 in the second, which are independent; mean 0
    and variance 1 at every step. See `ar1_covariance`.
    """
    noise = generator(2).standard_normal((5_000, LENGTH, len(AR1_COEFFICIENTS)))
    coefficients = np.array(AR1_COEFFICIENTS)
    series = noise.copy()
    for step in range(1, LENGTH):
        innovation = np.sqrt(1 - coefficients**2) * noise[:, step]
        series[:, step] = coefficients * series[:, step - 1] + innovation
    channels = tuple(f"ar_{coefficient}" for coefficient in AR1_COEFFICIENTS)
    return collection("ar1", series, channels=channels)


def mixture() -> Collection:
    """4,000 x 24 x 1, labelled: 8 templates, some of them rare, plus Gaussian noise.

    Label k is drawn with probability MIXTURE_WEIGHTS[k]; the series is
    mixture_templates()[k] plus independent noise of standard deviation MIXTURE_SD. So
    the nearest template tells the mode, and a generator's coverage of the modes can be
    counted.
    """
    rng = generator(3)
    labels = rng.choice(len(MIXTURE_WEIGHTS), size=4_000, p=MIXTURE_WEIGHTS)
    noise = rng.normal(0.0, MIXTURE_SD, (4_000, LENGTH))
    series = (mixture_templates()[labels] + noise)[:, :, None]
    made = collection("mixture", series, channels=("value",))
    names = ("rise", "fall", "wave", "two_waves", "bump", "dip", "step", "drop")
    return made._replace(labels=labels, classes=names)


SYNTHETIC: dict[str, Callable[[], Collection]] = {
    "sines": sines,
    "ar1": ar1,
    "mixture": mixture,
}


def generator(seed: int) -> np.random.Generator:
    """A generator of its own for each set."""
    return np.random.Generator(np.random.PCG64(seed))


def collection(
    name: str, series: Float[np.ndarray, "N L C"], channels: tuple[str, ...]
) -> Collection:
    """The series as float32, all of them for training."""
    return Collection(name, series=list(series.astype(np.float32)), channels=channels)


# --- what is known of them ------------------------------------------------------------


def sines_mean() -> Float[np.ndarray, " L"]:
    """E x_t of each channel of `sines`."""
    return (1 + expected_wave(np.arange(LENGTH), 1).imag) / 2


def sines_covariance() -> Float[np.ndarray, "L L"]:
    """Cov(x_s, x_t) of each channel of `sines`; 0 between channels."""
    steps = np.arange(LENGTH)
    s, t = steps[:, None], steps[None, :]
    mean = expected_wave(steps, 1).imag
    product = (expected_wave(s - t, 0) - expected_wave(s + t, 2)).real / 2
    return (product - mean[:, None] * mean[None, :]) / 4


def expected_wave(steps: np.ndarray, phases: int) -> np.ndarray:
    """E exp(i (f steps + p phases)) for independent f and p, uniform in (0, 0.1)."""
    half = SINES_HIGHEST / 2
    size = np.sinc(steps * half / np.pi) * np.sinc(phases * half / np.pi)
    return size * np.exp(1j * (steps + phases) * half)


def ar1_covariance(coefficient: float) -> Float[np.ndarray, "L L"]:
    """coefficient^|s - t| = Cov(x_s, x_t) of a channel of `ar1`."""
    steps = np.arange(LENGTH)
    return coefficient ** np.abs(steps[:, None] - steps[None, :])


def mixture_templates() -> Float[np.ndarray, "8 L"]:
    """The noiseless series of the modes, in [0, 1], in the order of the classes."""
    time = np.linspace(0.0, 1.0, LENGTH)
    bump = np.exp(-(((time - 0.5) / 0.12) ** 2))
    return np.stack(
        [
            time,
            1 - time,
            (1 + np.sin(2 * np.pi * time)) / 2,
            (1 + np.sin(4 * np.pi * time)) / 2,
            bump,
            1 - bump,
            np.where(time < 0.5, 0.1, 0.9),
            np.where(time < 0.5, 0.9, 0.1),
        ]
    )


def mixture_mean() -> Float[np.ndarray, " L"]:
    """E x_t of `mixture`."""
    return np.array(MIXTURE_WEIGHTS) @ mixture_templates()


def mixture_covariance() -> Float[np.ndarray, "L L"]:
    """Cov(x_s, x_t) of `mixture`: between the templates, plus the noise."""
    centred = mixture_templates() - mixture_mean()
    between = (centred.T * np.array(MIXTURE_WEIGHTS)) @ centred
    return between + MIXTURE_SD**2 * np.eye(LENGTH)
