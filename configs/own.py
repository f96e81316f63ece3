"""Your own file: .csv, .parquet, .npy, .npz or .ts.

    python main.py --config=configs/own.py --config.data.path=mine.csv --workdir=W

A table without an id column is one recording and is cut into windows; with an id
column, or from a file of many series, each series is an example. Which columns are
time, id and label is detected, or set by --config.data.time_column (none if the table
has no time), id_column and label_column. Window, stride, the networks' patches and
depth and the steps of training are chosen from the data, or set. What was detected and
chosen is printed.

Expected: depends on the data; compare with the floor that the report shows beside each
score. Up to 10,000 series are scored. Time: on two CPU cores at most about that of
configs/stock.py for windows of 24 steps, less for few; it grows with the length of the
window or series.
"""

from l2d_jax.configs import base


def get_config(argument: str = ""):
    """Differences from configs/base.py."""
    config = base.get_config()
    config.data.name = "file"
    base.any_series(config)
    config.evaluation.num_series = 10_000
    return base.with_argument(config, argument)
