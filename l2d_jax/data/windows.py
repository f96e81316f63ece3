"""One long recording, cut into windows of equal length."""

import numpy as np
from jaxtyping import Float
from ml_collections import ConfigDict

from l2d_jax.types import Examples, InputError


def windows(
    recording: Float[np.ndarray, "T C"],
    *,
    length: int,
    stride: int = 1,
    name: str = "the recording",
) -> Float[np.ndarray, "N length C"]:
    """w[n, l] = recording[n stride + l], N = (T - length) // stride + 1.

    A read-only view where numpy can give one. `name` is how errors call the recording.

    Raises:
      InputError: length below 2, stride below 1, a recording shorter than one window.
    """
    rows = recording.shape[0]
    if length < 2:
        raise InputError(
            f"a window of {length} is too short: set --config.data.window to 2 or more"
        )
    if stride < 1:
        raise InputError(
            f"a stride of {stride} leads nowhere: set --config.data.stride to 1 or more"
        )
    if rows < length:
        raise InputError(
            f"{name} has {rows} of the {length} rows that one window takes: "
            "lower --config.data.window"
        )
    view = np.lib.stride_tricks.sliding_window_view(recording, length, axis=0)
    return view[::stride].swapaxes(1, 2)


def window_examples(
    recording: Float[np.ndarray, "T C"], config: ConfigDict, *, name: str
) -> Examples:
    """The windows that `config.window` and `config.stride` ask for, as examples."""
    series = windows(recording, length=config.window, stride=config.stride, name=name)
    return Examples(series, lengths=np.full(series.shape[0], series.shape[1]))
