"""Tables with types: a parquet file, read by batches of rows, and a DataFrame."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from l2d_jax.data.own.roles import Asked, Frame, Table, check_names
from l2d_jax.data.own.rows import CHUNK
from l2d_jax.data.own.tables import read_table
from l2d_jax.errors import one_line
from l2d_jax.types import Collection, InputError


def read_parquet(path: Path, asked: Asked) -> Collection:
    """The series of a parquet file, read by batches of rows.

    Raises:
      InputError: the file is damaged, and as `read_table`.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            names = tuple(map(str, file.schema_arrow.names))
            hidden = re.compile(r"__index_level_\d+__")  # pandas' index without a name
            shown = tuple("" if hidden.fullmatch(name) else name for name in names)

            def whole(kind: pa.DataType) -> pd.ArrowDtype | None:
                """The type of whole numbers, where pandas would make them floats."""
                return pd.ArrowDtype(kind) if pa.types.is_integer(kind) else None

            def chunks(texts: tuple[int, ...]) -> Iterator[Frame]:
                del texts  # columns have types
                for batch in file.iter_batches(batch_size=CHUNK):
                    frame = batch.to_pandas(
                        date_as_object=False,
                        ignore_metadata=True,
                        types_mapper=whole,
                    )
                    yield frame.set_axis(range(len(names)), axis=1)

            table = Table(str(path), ".parquet", check_names(shown, path), chunks, row)
            return read_table(table, asked)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"{path} can't be read as parquet ({one_line(error)}): make it again"
        ) from error


def read_frame(frame: Any, asked: Asked) -> Collection:
    """The series of a pandas DataFrame; an index that isn't 0, 1, ... is a column.

    Raises:
      InputError: as `read_table`.
    """
    import pandas as pd

    if not isinstance(frame.index, pd.RangeIndex):
        if frame.index.nlevels > 1 and None in frame.index.names:
            level = frame.index.names.index(None)
            raise InputError(
                f"the DataFrame: level {level} of its index (the first is 0) has no "
                'name: name all, as frame.rename_axis(["id", "row"])'
            )
        names = [name or "" for name in frame.index.names]
        frame = pd.concat(
            [frame.index.to_frame(index=False), frame.reset_index(drop=True)], axis=1
        )
        frame = frame.set_axis([*names, *frame.columns[len(names) :]], axis=1)
    columns = check_names(tuple(map(str, frame.columns)), "the DataFrame")
    numbers = range(len(columns))

    def chunks(texts: tuple[int, ...]) -> Iterator[Frame]:
        del texts  # columns have types
        for start in range(0, len(frame), CHUNK):
            yield plain(frame.iloc[start : start + CHUNK].set_axis(numbers, axis=1))

    return read_table(Table("the DataFrame", ".parquet", columns, chunks, row), asked)


def plain(frame: Frame) -> Frame:
    """The same, with sparse columns, and with Arrow's times, as ordinary ones."""
    import pandas as pd

    dtypes = {}
    for i, dtype in frame.dtypes.items():
        if isinstance(dtype, pd.SparseDtype):
            dtypes[i] = dtype.subtype
        elif isinstance(dtype, pd.ArrowDtype) and dtype.kind == "M":
            dtypes[i] = dtype.pyarrow_dtype.to_pandas_dtype()
    return frame.astype(dtypes)


def row(index: int) -> str:
    """Where a row stands in what has no lines."""
    return f"row {index} (the first is 0)"
