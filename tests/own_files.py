"""Files as users have them, for tests of what is read and written."""

import re

import numpy as np
import pandas as pd
import pytest
from ml_collections import ConfigDict

from l2d_jax.data.own import read_file
from l2d_jax.samples import write_samples
from l2d_jax.types import Collection, Examples, InputError


def file_config(path, **differences) -> ConfigDict:
    """The fields of `config.data` that readers know."""
    roles = ("channels", "id_column", "time_column", "label_column")
    return ConfigDict(dict.fromkeys(roles, "") | {"path": str(path)} | differences)


def put(path, content) -> None:
    """Writes text, bytes, or what else a function writes."""
    if callable(content):
        content(path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())


def lists(collection: Collection) -> list:
    """Series as nested lists; NaN as None."""
    return [
        [[None if v != v else v for v in step] for step in one.tolist()]
        for one in collection.series
    ]


def written(found: Collection, path, length: int) -> list:
    """The time column of a sample of so many steps, as text or as parquet has it."""
    series = np.zeros((1, length, len(found.channels)), np.float32)
    write_samples(
        path,
        iter([Examples(series, np.array([length]))]),
        n=1,
        channels=found.channels,
        settings={},
        form=found.form,
    )
    column = found.form.time_column
    if path.suffix == ".parquet":
        return pd.read_parquet(path)[column].tolist()
    frame = pd.read_csv(path, sep=found.form.separator, dtype=str)
    return frame[column].tolist()


def npy_bytes(array) -> bytes:
    """What np.save would write."""
    import io

    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def assert_it_fails_with_one_line(folder, case) -> None:
    name, content, says, *differences = case
    put(folder / name, content)
    with pytest.raises(InputError) as error:
        read_file(file_config(folder / name, **(differences or [{}])[0]))
    message = str(error.value)
    assert message.startswith(str(folder / name))
    assert re.search(says, message), message
    assert "\n" not in message
