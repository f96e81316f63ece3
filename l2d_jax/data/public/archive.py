"""Any set of the UCR and UEA archives of labelled time series, by its name."""

import functools

from l2d_jax.data.public import parsers
from l2d_jax.data.public.catalog import (
    SOURCES,
    UCR,
    UEA,
    Source,
    archive_file,
    archive_page,
)


def archive_source(name: str) -> Source | None:
    """The set of this name in the archives (upper or lower case); None: there is none.

    Its shape, channels and classes are unknown (empty) until it is prepared. One that
    the catalogue has too, from the same file, is the catalogue's.
    """
    official = archive_names().get(name.lower())
    if official is None:
        return None
    for source in SOURCES.values():
        if source.file.name == f"{official}.zip":
            return source
    return Source(
        name=official.lower(),
        title=official,
        description=f"{official} of the UCR and UEA time series archives.",
        citation=f"{UCR} {UEA}",
        licence="not stated",
        homepage=archive_page(official),
        file=archive_file(official),
        channels=(),
        classes=(),
        num_train=0,
        num_test=0,
        lengths=(0, 0),
        parse=functools.partial(parsers.archive, name=official.lower(), stem=official),
        digest="",
    )


@functools.cache
def archive_names() -> dict[str, str]:
    """Lower case -> official spelling, of the classification sets that sktime lists."""
    from sktime.datasets import tsc_dataset_names

    names = [*tsc_dataset_names.univariate, *tsc_dataset_names.multivariate]
    return {name.lower(): name for name in names}
