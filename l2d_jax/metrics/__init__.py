"""Scores of generated series against real ones. A metric is a function and one line.

A metric takes real and generated series [N, L, C] scaled to [0, 1] by the range of the
real ones, `num_repeats` and `seed`, and returns what can be written as JSON.
"""

import difflib
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import numpy as np
from jaxtyping import Float

from l2d_jax.metrics import distances, moments
from l2d_jax.metrics.context_fid import context_fid
from l2d_jax.metrics.floors import with_floor
from l2d_jax.types import InputError, SeriesBatch

METRICS: dict[str, Callable[..., dict[str, Any]]] = {
    "context_fid": context_fid,
    "marginal_distribution_difference": with_floor(
        moments.marginal_distribution_difference
    ),
    "value_distribution_distance": with_floor(
        lambda real, x: distances.value_distribution_distance(real, x)["mean"]
    ),
    "autocorrelation_difference": with_floor(moments.autocorrelation_difference),
    "spectral_distance": with_floor(distances.spectral_distance),
    "correlational_score": with_floor(moments.correlational_score),
    "skewness_difference": with_floor(moments.skewness_difference),
    "kurtosis_difference": with_floor(moments.kurtosis_difference),
    "sliced_wasserstein": with_floor(
        lambda real, x: distances.sliced_wasserstein(real, x)["time"]
    ),
    "mmd_series": with_floor(
        lambda real, x: distances.maximum_mean_discrepancy(real, x)["series"]
    ),
    "mmd_increments": with_floor(
        lambda real, x: distances.maximum_mean_discrepancy(real, x)["increments"]
    ),
}
MIN_SAMPLES = 16
ARRAYS = (np.ndarray, jax.Array)

# [N, L, C], or, where lengths differ, a sequence of [L_i, C].
SeriesSet: TypeAlias = np.ndarray | jax.Array | Sequence[Any]


def evaluate(
    real: SeriesSet,
    generated: SeriesSet,
    *,
    metrics: Sequence[str] | None = None,
    num_repeats: int = 5,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Scores of `generated` against `real`, by metric.

    Args:
      real, generated: in data units, arrays [N, L, C], or lists of arrays [L_i, C]
        where lengths differ. At least 16 of each; the two numbers may differ.
      metrics: names in `METRICS`; all by default.
      num_repeats: how often each metric is computed, with fresh randomness.
      seed: what the randomness is derived from.

    Both are scaled per channel by the least and greatest value of `real`, to [0, 1], as
    the published protocol has it. Lists are filled up with NaN to the longest series.

    Returns:
      What each metric's function returns, and "seconds".

    Raises:
      InputError: naming what can't be scored, and the mend.
    """
    names = list(METRICS) if metrics is None else list(metrics)
    for name in names:
        check_name(name)
    if num_repeats < 1:
        raise InputError(f"num_repeats={num_repeats}: use 1 or more")
    real, generated = scaled(*of_one_shape(real, generated))
    scores = {}
    for name in names:
        start = time.perf_counter()
        score = METRICS[name](real, generated, num_repeats=num_repeats, seed=seed)
        scores[name] = {**score, "seconds": time.perf_counter() - start}
    return scores


def check_name(name: str) -> None:
    """Raises `InputError` for a metric that doesn't exist."""
    if name not in METRICS:
        near = difflib.get_close_matches(name, METRICS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"use one of {list(METRICS)}"
        raise InputError(f"unknown metric {name!r}: {hint}")


def of_one_shape(
    real: SeriesSet, generated: SeriesSet
) -> tuple[Float[np.ndarray, "N L C"], Float[np.ndarray, "M L C"]]:
    """Both as arrays, filled up with NaN to the longest series where one is a list.

    Raises:
      InputError: as `evaluate`.
    """
    ragged = not (isinstance(real, ARRAYS) and isinstance(generated, ARRAYS))
    sets = {
        "real": list_of_series(real, "real"),
        "generated": list_of_series(generated, "generated"),
    }
    channels = {name: series[0].shape[1] for name, series in sets.items()}
    if channels["real"] != channels["generated"]:
        raise InputError(
            f"real has {channels['real']} channels and generated "
            f"{channels['generated']}: give the same channels in the same order"
        )
    lengths = {name: max(map(len, series)) for name, series in sets.items()}
    if not ragged and lengths["real"] != lengths["generated"]:
        raise InputError(
            f"real has {lengths['real']} steps and generated {lengths['generated']}: "
            "generate series of the same length, or give lists of [L_i, C] arrays"
        )
    if lengths["real"] < 2:
        raise InputError("real has series of 1 step only: give 2 or more steps")
    length = max(lengths.values())
    return padded(sets["real"], length), padded(sets["generated"], length)


def list_of_series(given: SeriesSet, name: str) -> list[Float[np.ndarray, "_ C"]]:
    """One array [L_i, C] a series, checked; `name` is what errors call the set."""
    if isinstance(given, ARRAYS) and given.ndim != 3:
        raise InputError(
            f"{name} has shape {given.shape}: give [series, steps, channels], or a "
            "list of [steps, channels] where lengths differ"
        )
    series = [np.asarray(one, np.float64) for one in given]
    if len(series) < MIN_SAMPLES:
        raise InputError(
            f"{name} has {len(series)} series: give {MIN_SAMPLES} or more, better "
            "thousands"
        )
    for i, one in enumerate(series):
        check_series(one, f"{name}[{i}]", num_channels=series[0].shape[-1:])
    return series


def check_series(one: np.ndarray, name: str, *, num_channels: tuple[int, ...]) -> None:
    """Raises `InputError` unless `one` is [steps, channels], not empty and finite."""
    if one.ndim != 2 or 0 in one.shape:
        raise InputError(
            f"{name} has shape {one.shape}: give [steps, channels], 1 or more of each"
        )
    if one.shape[1:] != num_channels:
        raise InputError(
            f"{name} has {one.shape[1]} channels, and the series before it "
            f"{num_channels[0]}: give the same channels for all"
        )
    bad = np.argwhere(~np.isfinite(one))
    if len(bad):
        step, channel = bad[0]
        raise InputError(
            f"{name} is {one[step, channel]} at step {step}, channel {channel}: fill "
            "or drop it; give series of different lengths as a list of [L_i, C] arrays"
        )


def padded(
    series: list[Float[np.ndarray, "_ C"]], length: int
) -> Float[np.ndarray, "N L C"]:
    """One array, NaN after the end of series shorter than `length`."""
    filled = np.full((len(series), length, series[0].shape[1]), np.nan)
    for row, one in zip(filled, series, strict=True):
        row[: len(one)] = one
    return filled


def scaled(
    real: Float[np.ndarray, "N L C"], generated: Float[np.ndarray, "M L C"]
) -> tuple[SeriesBatch, Float[np.ndarray, "M L C"]]:
    """Both, scaled so that each channel of `real` spans 0 to 1; float32.

    Raises:
      InputError: a channel of `real` is constant.
    """
    low = np.nanmin(real, axis=(0, 1), keepdims=True)
    span = np.nanmax(real, axis=(0, 1), keepdims=True) - low
    constant = np.flatnonzero(span < np.finfo(np.float32).tiny)
    if len(constant):
        c = constant[0]
        raise InputError(
            f"channel {c} of real is {low[0, 0, c]:g} at every step, and a constant "
            "can't be scaled: leave the channel out of both"
        )
    real, generated = (real - low) / span, (generated - low) / span
    return real.astype(np.float32), generated.astype(np.float32)
