"""Data sets by name, and what stands between their files and the networks.

A reader returns a `Collection`, whole series in data units; `split` makes examples of
it, windows or padded series, by the protocol of the config.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from l2d_jax.data.normalizer import Normalizer
from l2d_jax.data.own import read_array, read_file
from l2d_jax.data.protocols import split
from l2d_jax.data.public.archive import archive_names, archive_source
from l2d_jax.data.public.catalog import SOURCES, Source
from l2d_jax.data.public.synthetic import SYNTHETIC
from l2d_jax.data.ragged import (
    ModelSpace,
    from_list,
    from_model_space,
    to_list,
    to_model_space,
)
from l2d_jax.data.sampler import chunk_indices
from l2d_jax.data.windows import windows
from l2d_jax.errors import did_you_mean
from l2d_jax.types import Collection, InputError, Splits

__all__ = [
    "DATASETS",
    "ModelSpace",
    "Normalizer",
    "chunk_indices",
    "from_list",
    "from_model_space",
    "load_splits",
    "read_array",
    "read_file",
    "split",
    "to_list",
    "to_model_space",
    "windows",
]


def load(source: Source) -> Collection:
    """A public data set, prepared at its first use."""
    from l2d_jax.data.public import builders  # here, as it takes long to import

    return builders.load(source)


DATASETS: dict[str, Callable[[ConfigDict], Collection]] = {
    **{name: lambda _, source=source: load(source) for name, source in SOURCES.items()},
    **{name: lambda _, make=make: make() for name, make in SYNTHETIC.items()},
    "file": read_file,
}


def load_splits(data_config: ConfigDict) -> Splits:
    """The data set called `data_config.name`, or any set of the UCR and UEA archives.

    Raises:
      InputError: no data set has this name, its file can't be had or used, or it can't
        be cut and split as the config says.
    """
    return split(read(data_config), data_config)


def read(data_config: ConfigDict) -> Collection:
    """The data set as it is, before windows and splits."""
    name = data_config.name
    if name in DATASETS:
        return DATASETS[name](data_config)
    source = archive_source(name)
    if source is not None:
        return load(source)
    close = did_you_mean(name, [*DATASETS, *archive_names().values()])
    hint = f"{close} " if close else ""
    raise InputError(
        f"--config.data.name={name!r} is no data set: {hint}The names are "
        f"{', '.join(DATASETS)}, and those of the UCR and UEA archives"
    )
