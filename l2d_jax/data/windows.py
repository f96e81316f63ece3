"""Long recordings, cut into windows of equal length."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from l2d_jax.types import InputError, SeriesBatch

DEFAULT_WINDOW = 24  # steps, where no period is found
PERIODS = (4, 256)  # steps, the shortest and the longest that are looked for
PERIODIC = 0.3  # least autocorrelation at a period
MAX_REPEATS = 4  # periods that are compared to tell a period from its neighbours
ROWS_FOR_PERIOD = 100_000
MAX_WINDOWS = 1_000_000  # of a training set, unless a stride is given
OBSERVED_SHARE = 0.5  # least share of a window's values that must not be missing
# In search of series that share steps, at most:
SERIES_LOOKED_AT = 500
STEPS_LOOKED_AT = 200_000  # of these together
STARTS = 100_000  # of other series
START_STEPS = 8  # of each start

Recording = Float[np.ndarray, "T C"]


def windows(
    recording: Recording, *, length: int, stride: int = 1
) -> Float[np.ndarray, "N length C"]:
    """w[n, l] = recording[n stride + l], N = (T - length) // stride + 1; N >= 0.

    A read-only view: a recording that lies on disk stays there.

    >>> windows(np.arange(5.0)[:, None], length=3, stride=2)[:, :, 0].tolist()
    [[0.0, 1.0, 2.0], [2.0, 3.0, 4.0]]
    """
    if recording.shape[0] < length:
        return np.empty((0, length, recording.shape[1]), recording.dtype)
    view = np.lib.stride_tricks.sliding_window_view(recording, length, axis=0)
    return view[::stride].swapaxes(1, 2)


def check_window(longest: int, *, length: int, stride: int, name: str) -> None:
    """Raises `InputError` unless windows of this length fit into the longest recording.

    `name` is how errors call the data.
    """
    if length < 2:
        raise InputError(
            f"a window of {length} is too short: set --config.data.window to 2 or "
            "more, or to 0 to have it chosen"
        )
    if stride < 1:
        raise InputError(
            f"a stride of {stride} leads nowhere: set --config.data.stride to 1 or "
            "more, or to 0 to have it chosen"
        )
    if longest < 2:
        raise InputError(
            f"{name} has {longest} row, and a window takes 2 or more: add rows"
        )
    if longest < length:
        raise InputError(
            f"{name} has {longest} of the {length} rows that one window takes: "
            "lower --config.data.window"
        )


def observed_enough(
    recording: Recording, *, length: int, stride: int
) -> Bool[np.ndarray, " N"]:
    """Which windows have at least half of their values: not all NaN is missing."""
    known = np.zeros(recording.shape[0] + 1, np.int64)
    known[1:] = np.cumsum((~np.isnan(recording)).sum(axis=1))
    count = (known[length:] - known[:-length])[::stride]
    return count >= OBSERVED_SHARE * length * recording.shape[1]


def share_steps(series: SeriesBatch) -> bool:
    """Whether series are, in any order, as windows of a recording that overlap.

    So they are if half or more, of some that are looked at, end as another one begins:
    in half of their steps or more, at least 8. What has few values there, as a switch,
    may do so by chance and does not count. Windows that were scaled one by one, or
    whose stride is longer than half of them, are not found.
    """
    number, length = series.shape[:2]
    last = length - max(START_STEPS, math.ceil(length / 2))  # the latest place
    if number < 2 or last < 1:
        return False
    order = np.random.default_rng(0).permutation(number)
    starts: dict[bytes, list[int]] = {}
    for j in order[:STARTS].tolist():
        starts.setdefault(series[j, :START_STEPS].tobytes(), []).append(j)

    def continued(i: int) -> bool:
        for place in range(1, last + 1):
            end = series[i, place:]
            found = starts.get(end[:START_STEPS].tobytes(), ())
            if found and 2 * num_distinct(end) >= len(end):
                for j in found:
                    same = series[j, : len(end)].tobytes() == end.tobytes()
                    if same and i != j:
                        return True
        return False

    some = order[: min(SERIES_LOOKED_AT, max(STEPS_LOOKED_AT // length, 2))].tolist()
    return sum(map(continued, some)) >= len(some) / 2


def num_distinct(rows: Float[np.ndarray, "T C"]) -> int:
    """How many different rows there are."""
    return len({row.tobytes() for row in rows})


# --- lengths and strides chosen from the data -----------------------------------------


def choose_stride(rows: Sequence[int], length: int) -> int:
    """1, or more where that would make more than `MAX_WINDOWS` windows."""
    count = sum(max(n - length + 1, 0) for n in rows)
    return max(math.ceil(count / MAX_WINDOWS), 1)


def choose_window(recording: Recording) -> tuple[int, str]:
    """(length, why): whole periods, 24 steps or more, never over a tenth of the rows.

    24 steps, as in the literature, where no period is found.
    """
    period = find_period(recording)
    most = max(recording.shape[0] // 10, 2)
    if period:
        periods = math.ceil(DEFAULT_WINDOW / period)
        length = period * periods
        why = f"the data repeats after {period} steps"
    else:
        length, why = DEFAULT_WINDOW, "no period found"
    return (length, why) if length <= most else (most, "the recording is short")


def find_period(recording: Recording) -> int:
    """The lag after which the channels' mean autocorrelation is highest; 0: none.

    Only peaks behind the first zero crossing count, so that a trend has none.
    """
    rows = np.asarray(recording[:ROWS_FOR_PERIOD], np.float64)
    correlation = autocorrelation(rows, max_lag=min(PERIODS[1] + 1, len(rows) // 2))
    negative = np.flatnonzero(correlation <= 0.0)
    if not len(negative):
        return 0
    lags = np.arange(1, len(correlation) - 1)
    middle = correlation[1:-1]
    peak = (middle >= correlation[:-2]) & (middle > correlation[2:])
    peak &= (middle >= PERIODIC) & (lags > negative[0]) & (lags >= PERIODS[0])
    if not peak.any():
        return 0
    # The first of the peaks that are about as high as the highest: not a multiple.
    first = lags[peak & (middle >= 0.9 * middle[peak].max())][0]
    # Noise moves it by some steps: whichever near it repeats best over several periods.
    near = lags[(lags > first / 1.5) & (lags < first * 1.5) & (lags > negative[0])]
    near = near[near >= PERIODS[0]]
    times = np.arange(1, min(MAX_REPEATS, lags[-1] // near[-1]) + 1)
    return int(near[np.argmax(correlation[np.outer(times, near)].sum(axis=0))])


def autocorrelation(
    rows: Float[np.ndarray, "T C"], *, max_lag: int
) -> Float[np.ndarray, " lags"]:
    """Mean over channels at lags 0..max_lag; NaN counts as the channel's mean."""
    count = np.maximum((~np.isnan(rows)).sum(axis=0, keepdims=True), 1)
    centred = np.nan_to_num(rows - np.nansum(rows, axis=0, keepdims=True) / count)
    size = 2 * len(rows)
    power = np.abs(np.fft.rfft(centred, size, axis=0)) ** 2
    covariance = np.fft.irfft(power, size, axis=0)[: max_lag + 1]
    return (covariance / np.maximum(covariance[:1], 1e-300)).mean(axis=1)
