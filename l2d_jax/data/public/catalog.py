"""The public data sets: what each is, where its file is, how it is read.

Read from here alone, without TensorFlow Datasets: `builders` prepares the sets.
"""

import functools
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from etils import epath

from l2d_jax.data.public import parsers
from l2d_jax.data.public.downloads import RemoteFile
from l2d_jax.files import with_home
from l2d_jax.types import Collection

VERSION = "1.0.0"  # of the prepared form; goes up when a parser's result changes


class Source(NamedTuple):
    """A public data set. Of one from an archive, the facts are empty until it is read.

    A recording (a set without classes) is one long series, and counts in rows.
    """

    name: str  # in snake case
    title: str
    description: str
    citation: str
    licence: str  # of the data, or "not stated"
    homepage: str
    file: RemoteFile  # the official one, which is downloaded
    channels: tuple[str, ...]
    classes: tuple[str, ...]  # of label 0, 1, ...; empty for a recording
    num_train: int  # series; rows of a recording
    num_test: int
    lengths: tuple[int, int]  # of the shortest and the longest series
    parse: Callable[[Path], Collection]
    digest: str  # `builders.content_digest` of what `parse` returns; "": not known
    others: tuple[RemoteFile, ...] = ()  # other packings, used where they lie
    bundled: str = ""  # folder of a copy that came with a package, "package/folder"


def prepared_folder(source: Source) -> epath.Path:
    """Where the set is kept once prepared, on disk or in a bucket.

    Below $TFDS_DATA_DIR, by default ~/tensorflow_datasets.
    """
    root = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return epath.Path(with_home(root)) / source.name / VERSION


def prepared(source: Source) -> bool:
    """True if the set has been prepared, so that `builders.load` needs no file."""
    return (prepared_folder(source) / "dataset_info.json").exists()


def bundled_folder(source: Source) -> Path | None:
    """The folder of the copy that an installed package has; None without one."""
    package, _, folder = source.bundled.partition("/")
    found = importlib.util.find_spec(package) if package else None
    if found is None:
        return None
    roots = [Path(root) / folder for root in found.submodule_search_locations or ()]
    return next((root for root in roots if root.is_dir()), None)


CLASSIFICATION = "https://timeseriesclassification.com"
UCR = (
    "Dau, Bagnall, Kamgar, Yeh, Zhu, Gharghabi, Ratanamahatana & Keogh, The UCR time "
    "series archive, IEEE/CAA Journal of Automatica Sinica 6(6), 2019."
)
UEA = (
    "Bagnall, Dau, Lines, Flynn, Large, Bostrom, Southam & Keogh, The UEA "
    "multivariate time series classification archive, arXiv:1811.00075, 2018."
)


def numbered(count: int, first: int = 1) -> tuple[str, ...]:
    """The names of `count` classes that are only numbered."""
    return tuple(str(first + i) for i in range(count))


def archive_file(stem: str, size: int = 0, sha256: str = "") -> RemoteFile:
    """The zip of a set of the UCR and UEA archives."""
    url = f"{CLASSIFICATION}/aeon-toolkit/{stem}.zip"
    return RemoteFile(f"{stem}.zip", url, size, sha256)


def archive_page(stem: str) -> str:
    """What the archives say of a set."""
    return f"{CLASSIFICATION}/description.php?Dataset={stem}"


def ucr(
    name: str,
    stem: str,
    description: str,
    *,
    size: int,
    sha256: str,
    classes: tuple[str, ...],
    num_train: int,
    num_test: int,
    length: int,
    digest: str,
) -> Source:
    """A univariate set of the UCR archive; its classes by size, as -1 and 1."""
    return Source(
        name=name,
        title=stem,
        description=description,
        citation=UCR,
        licence="not stated",
        homepage=archive_page(stem),
        file=archive_file(stem, size, sha256),
        channels=("value",),
        classes=classes,
        num_train=num_train,
        num_test=num_test,
        lengths=(length, length),
        parse=functools.partial(parsers.archive, name=name, stem=stem),
        digest=digest,
    )


STOCK = Source(
    name="stock",
    title="Google stock",
    description=(
        "Daily Google stock prices (US dollars) and volume (shares), in time order, "
        "as TimeGAN published them."
    ),
    citation=(
        "Yoon, Jarrett & van der Schaar, Time-series generative adversarial networks, "
        "NeurIPS 2019."
    ),
    licence="Apache-2.0",  # of the repository; the prices come from Yahoo Finance
    homepage="https://github.com/jsyoon0823/TimeGAN",
    file=RemoteFile(
        "stock_data.csv",
        "https://raw.githubusercontent.com/jsyoon0823/TimeGAN/master/data/stock_data.csv",
        228_290,
        "134b8a00eb4eefa3242dd7ae85144082da80dedf75a1a656d5d08f97cd95277a",
    ),
    channels=("Open", "High", "Low", "Close", "Adj_Close", "Volume"),
    classes=(),
    num_train=3_685,
    num_test=0,
    lengths=(3_685, 3_685),
    parse=functools.partial(parsers.csv_recording, name="stock"),
    digest="0ad60d718735872530ed32906b830f4fbe58de5665913ab06132022ae19f41aa",
)

ENERGY = Source(
    name="energy",
    title="Appliances energy prediction",
    description=(
        "Energy use of one house (Wh), temperature (degrees C) and humidity (%) of "
        "its rooms, and the weather, every 10 minutes from 2016-01-11 17:00 to "
        "2016-05-27 18:00."
    ),
    citation=(
        "Candanedo, Feldheim & Deramaix, Data driven prediction models of energy use "
        "of appliances in a low-energy house, Energy and Buildings 140, 2017."
    ),
    licence="CC BY 4.0",
    homepage="https://archive.ics.uci.edu/dataset/374/appliances+energy+prediction",
    file=RemoteFile(
        "energydata_complete.csv",
        "https://raw.githubusercontent.com/LuisM78/Appliances-energy-prediction-data/"
        "master/energydata_complete.csv",
        11_979_363,
        "2820bf712ad0275cb18b85a05250926100d8e65ebb9f4d2d016ca91ea152a25d",
    ),
    others=(
        RemoteFile(
            "energydata_complete.csv.gz",
            "",
            1_646_273,
            "6a1a2b8b388d8682731c6fafe31d9434d8611ad33cdf89c766564faa3520d22c",
        ),
    ),
    channels=(
        *("Appliances", "lights"),
        *(f"{what}{room}" for room in range(1, 10) for what in ("T", "RH_")),
        *("T_out", "Press_mm_hg", "RH_out", "Windspeed", "Visibility", "Tdewpoint"),
        *("rv1", "rv2"),
    ),
    classes=(),
    num_train=19_735,
    num_test=0,
    lengths=(19_735, 19_735),
    parse=functools.partial(parsers.csv_recording, name="energy"),
    digest="f23fe10a6545f9b9e7daac6950a2c83910cf4ff184b8e019c1d1a41f98a7eb80",
)

ETTH = Source(
    name="etth",
    title="ETTh1, electricity transformer temperature",
    description=(
        "Loads of an electricity transformer and the temperature of its oil (OT, "
        "degrees C), hourly from 2016-07-01 00:00 to 2018-06-26 19:00."
    ),
    citation=(
        "Zhou, Zhang, Peng, Zhang, Li, Xiong & Zhang, Informer: beyond efficient "
        "transformer for long sequence time-series forecasting, AAAI 2021."
    ),
    licence="CC BY-ND 4.0",
    homepage="https://github.com/zhouhaoyi/ETDataset",
    file=RemoteFile(
        "ETTh1.csv",
        "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/ETTh1.csv",
        2_589_657,
        "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
    ),
    channels=("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"),
    classes=(),
    num_train=17_420,
    num_test=0,
    lengths=(17_420, 17_420),
    parse=functools.partial(parsers.csv_recording, name="etth"),
    digest="3a097e35b2847dd4e05b1632b4324b827520345d7fa614d239294721e97b2c3e",
)

RIVERFLOW = Source(
    name="riverflow",
    title="Saugeen river flow",
    description=(
        "Mean daily flow of the Saugeen River at Walkerton, Ontario (cubic metres a "
        "second), 1915-01-01 to 1979-12-31."
    ),
    citation=(
        "Godahewa, Bergmeir, Webb, Hyndman & Montero-Manso, Monash time series "
        "forecasting archive, NeurIPS Datasets and Benchmarks 2021; McLeod & Gweon, "
        "deseasonalize, 2013."
    ),
    licence="CC BY 4.0",
    homepage="https://zenodo.org/records/4656058",
    file=RemoteFile(
        "saugeenday_dataset.zip",
        "https://zenodo.org/api/records/4656058/files/saugeenday_dataset.zip/content",
    ),
    others=(
        RemoteFile(
            "saugeenday_dataset.tsf",
            "",
            107_491,
            "f3b71e1d16ade463b8ac576683dc4b906c4157494098afe5728f875ac167aa84",
        ),
    ),
    channels=("flow",),
    classes=(),
    num_train=23_741,
    num_test=0,
    lengths=(23_741, 23_741),
    parse=functools.partial(
        parsers.tsf_recording,
        name="riverflow",
        stem="saugeenday_dataset",
        channel="flow",
    ),
    digest="5173fd55078985785b3ddcec2bc60fd31a47762ed2abd8663055e7cc79025485",
)

ECG5000 = ucr(
    "ecg5000",
    "ECG5000",
    "Heart beats of one patient with congestive heart failure, resampled to one "
    "length; each has mean 0 and standard deviation 1.",
    size=3_381_035,
    sha256="9ee5d2cb50d5100de928428cd40dadd76534390f55f582e163f0b16fd41a7f87",
    classes=numbered(5),
    num_train=500,
    num_test=4_500,
    length=140,
    digest="ae690ce5ae4ba465b7a39c730212c5981977c26cca093a60a58b0254db3b3fa3",
)

SPOKEN_ARABIC_DIGITS = Source(
    name="spoken_arabic_digits",
    title="Spoken Arabic digit",
    description=(
        "Mel frequency cepstral coefficients of the Arabic digits 0 to 9, said ten "
        "times each by 44 men and 44 women; one row a frame. The form of UCI, which "
        "has one series more in each part than that of the UEA archive."
    ),
    citation=(
        "Hammami & Bedda, Improved tree model for Arabic speech recognition, ICCSIT "
        "2010; UCI Machine Learning Repository."
    ),
    licence="CC BY 4.0",
    homepage="https://archive.ics.uci.edu/dataset/195/spoken+arabic+digit",
    file=RemoteFile(
        "spoken+arabic+digit.zip",
        "https://archive.ics.uci.edu/static/public/195/spoken+arabic+digit.zip",
    ),
    others=(
        RemoteFile(
            "SpokenArabicDigits_UCI.zip",
            "",
            14_612_181,
            "4d3bbe9fe8792d26e1dba3552a6c02579c8ae070c85baeabefb11987b1725977",
        ),
    ),
    channels=tuple(f"mfcc_{i}" for i in range(1, 14)),
    classes=numbered(10, first=0),
    num_train=6_600,
    num_test=2_200,
    lengths=(4, 93),
    parse=functools.partial(parsers.arabic_digits, name="spoken_arabic_digits"),
    digest="ef5b28fb68f4261b75414234872597cf1988d85b45909ba9994b6062c7a005da",
)

LETTERS = tuple("abcdeghlmnopqrsuvwyz")

CHARACTER_TRAJECTORIES = Source(
    name="character_trajectories",
    title="CharacterTrajectories",
    description=(
        "Velocity of a pen tip (x, y) and its force while one person wrote letters "
        "without lifting it, at 200 Hz; differentiated, smoothed and normalised by "
        "the authors. The form of the UEA archive."
    ),
    citation=(
        "Williams, Toussaint & Storkey, Extracting motion primitives from natural "
        f"handwriting data, ICANN 2006; {UEA}"
    ),
    licence="CC BY 4.0",
    homepage=archive_page("CharacterTrajectories"),
    file=archive_file(
        "CharacterTrajectories",
        3_746_999,
        "4672efd04d3cb7f91b677958334e9fa9ee98ce36a2397b42c04c79189ac9ee50",
    ),
    channels=("x_velocity", "y_velocity", "pen_force"),
    classes=LETTERS,
    num_train=1_422,
    num_test=1_436,
    lengths=(60, 182),
    parse=functools.partial(
        parsers.characters, name="character_trajectories", classes=LETTERS
    ),
    digest="48c1cf6bd116c21f67b061958b5f976c670978e7fff61079f95f1c5391ba1b36",
)

ELECTRIC_DEVICES = ucr(
    "electric_devices",
    "ElectricDevices",
    "Electricity use of household devices over a day, in steps of 15 minutes; each "
    "series has mean 0 and standard deviation 1.",
    size=1_686_718,
    sha256="58fab9a03a674f63694ef6a23bdebff3ba046486c99faf727a1c878238990b25",
    classes=numbered(7),
    num_train=8_926,
    num_test=7_711,
    length=96,
    digest="520be87455eb20bb5a99ea2461178d100066ddf5c6c8418a8571e3abea2603ce",
)

CROP = ucr(
    "crop",
    "Crop",
    "Vegetation index of a plot of land in 46 satellite images of a year; the class is "
    "the crop.",
    size=1_722_405,
    sha256="927e6c9c47d336405433165efc6952208ffdf7ec6bbb8a08373a39251eed043d",
    classes=numbered(24),
    num_train=7_200,
    num_test=16_800,
    length=46,
    digest="247c8c4a744f3c7442d88e4c6f98bd0cce4f64c49f0d4aac056ad220ea1472db",
)

FACE_ALL = ucr(
    "face_all",
    "FaceAll",
    "Outlines of the heads of 14 people, as a curve around the head; each series has "
    "mean 0 and standard deviation 1.",
    size=1_427_485,
    sha256="5dcf1cff54c87a7a50847ed7abbfc50801db227269579c3569c8c829bc8b0352",
    classes=numbered(14),
    num_train=560,
    num_test=1_690,
    length=131,
    digest="5908b9f084d9963bb66f25c3659e33ee40e3defcd921c5cf0a2ed4d896528c24",
)


CEPSTRA = tuple(f"cepstrum_{i}" for i in range(1, 13))

JAPANESE_VOWELS = Source(
    name="japanese_vowels",
    title="JapaneseVowels",
    description=(
        "Two vowels said in succession by nine men: cepstrum coefficients, one row a "
        "frame. The class is the speaker."
    ),
    citation=(
        "Kudo, Toyama & Shimbo, Multidimensional curve classification using "
        f"passing-through regions, Pattern Recognition Letters 20, 1999; {UEA}"
    ),
    licence="CC BY 4.0",
    homepage=archive_page("JapaneseVowels"),
    file=archive_file(
        "JapaneseVowels",
        447_729,
        "b6e456ec38b62a40709eeb0ff43a3aa29bb7d9c663f731c57f0c9df158d3e07b",
    ),
    channels=CEPSTRA,
    classes=numbered(9),
    num_train=270,
    num_test=370,
    lengths=(7, 29),
    parse=functools.partial(
        parsers.archive, name="japanese_vowels", stem="JapaneseVowels", channels=CEPSTRA
    ),
    digest="f56a1b58c9440e4f1b6e7108d51fc5ebda339e0febff91a60f13f67e18ece5f1",
    bundled="sktime/datasets/data/JapaneseVowels",
)

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        STOCK,
        ENERGY,
        ETTH,
        RIVERFLOW,
        ECG5000,
        SPOKEN_ARABIC_DIGITS,
        CHARACTER_TRAJECTORIES,
        ELECTRIC_DEVICES,
        CROP,
        FACE_ALL,
        JAPANESE_VOWELS,
    )
}
