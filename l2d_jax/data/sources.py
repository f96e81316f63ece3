"""The public data sets: one function each, config -> Splits."""

import numpy as np
from ml_collections import ConfigDict

from l2d_jax.data.downloads import RemoteFile, locate
from l2d_jax.data.ragged import from_list
from l2d_jax.data.windows import window_examples
from l2d_jax.types import Examples, InputError, Splits

STOCK = RemoteFile(
    name="stock_data.csv",
    url="https://raw.githubusercontent.com/jsyoon0823/TimeGAN/master/data/stock_data.csv",
    size=228_290,
    sha256="134b8a00eb4eefa3242dd7ae85144082da80dedf75a1a656d5d08f97cd95277a",
)


def stock(config: ConfigDict) -> Splits:
    """Daily Google prices (US dollars) and volume (shares), in time order, in windows.

    3,685 days x 6 channels; with window 24 and stride 1, 3,662 examples. All of them
    are for training, as in TimeGAN (Yoon et al. 2019), which published the file.

    Raises:
      InputError: the file can't be had or is damaged; a window it can't be cut into.
    """
    days = np.loadtxt(locate(STOCK), delimiter=",", skiprows=1, dtype=np.float64)
    return Splits(
        train=window_examples(days.astype(np.float32), config, name="the stock data"),
        test=None,
        channels=("Open", "High", "Low", "Close", "Adj_Close", "Volume"),
    )


def japanese_vowels(config: ConfigDict) -> Splits:
    """Two vowels said by nine men: 640 series of 12 cepstrum coefficients, 7..29 steps.

    The 270 training series come first, then the 370 test series of the archive; all
    are for training. Labels are the speakers. `config.length` pads or cuts the series
    (0: the longest, 29). The files come inside the package sktime.

    Source: Kudo, Toyama & Shimbo 1999, in the UEA archive (Bagnall et al. 2018).

    Raises:
      InputError: sktime isn't installed; a length of 1 or below 0.
    """
    try:
        from sktime.datasets import load_japanese_vowels
    except ModuleNotFoundError as error:
        raise InputError(
            f"the data set japanese_vowels needs the package {error.name}: "
            "pip install sktime"
        ) from error
    series, speakers = [], []
    for split in ("train", "test"):
        # One row a series; each cell holds one channel, a series of its own.
        table, names = load_japanese_vowels(split=split, return_type="nested_univ")
        series += [np.stack(channels, axis=-1) for channels in table.to_numpy()]
        speakers += list(names)
    classes, labels = np.unique(speakers, return_inverse=True)
    padded = from_list(series, length=config.length)
    return Splits(
        train=Examples(padded.series, padded.lengths, labels),
        test=None,
        channels=tuple(f"cepstrum_{i}" for i in range(1, 13)),
        classes=tuple(classes.tolist()),
    )
