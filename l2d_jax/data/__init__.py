"""Data sets by name, and what stands between their files and the networks."""

import difflib
from collections.abc import Callable

from ml_collections import ConfigDict

from l2d_jax.data.normalizer import Normalizer
from l2d_jax.data.own_files import own_csv
from l2d_jax.data.ragged import from_list, from_model_space, to_list, to_model_space
from l2d_jax.data.sampler import batch_indices, chunk_indices
from l2d_jax.data.sources import japanese_vowels, stock
from l2d_jax.data.windows import windows
from l2d_jax.types import InputError, Splits

__all__ = [
    "DATASETS",
    "Normalizer",
    "batch_indices",
    "chunk_indices",
    "from_list",
    "from_model_space",
    "load_splits",
    "to_list",
    "to_model_space",
    "windows",
]

DATASETS: dict[str, Callable[[ConfigDict], Splits]] = {
    "stock": stock,
    "japanese_vowels": japanese_vowels,
    "csv": own_csv,
}


def load_splits(data_config: ConfigDict) -> Splits:
    """The data set called `data_config.name`, in data units.

    Raises:
      InputError: no data set has this name, or its file can't be had or used.
    """
    name = data_config.name
    if name not in DATASETS:
        close = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise InputError(
            f"--config.data.name={name!r} is no data set: {hint}"
            f"The names are {', '.join(DATASETS)}"
        )
    return DATASETS[name](data_config)
