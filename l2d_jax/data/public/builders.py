"""The public data sets as TensorFlow Datasets builders, without TensorFlow.

A set is read from its file once, checked against what was published, and prepared
below $TFDS_DATA_DIR (by default ~/tensorflow_datasets) as array_record files: splits
`train` and `test`, in the published order, of {series, length, label}. A recording is
one example. From then on its file isn't needed.
Where there is no array_record, as on Windows, its file is read each time.

This module imports tensorflow_datasets, so import it where it is used.
"""

import contextlib
import hashlib
import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from l2d_jax.data.public.catalog import (
    VERSION,
    Source,
    bundled_folder,
    prepared,
    prepared_folder,
)
from l2d_jax.data.public.downloads import find, locate
from l2d_jax.errors import one_line
from l2d_jax.types import Collection, InputError

CHUNK = 4096  # examples read at a time


def load(source: Source) -> Collection:
    """The whole set as float32 arrays, prepared first if it hasn't been.

    Raises:
      InputError: the file can't be had, or holds other series than published; the
        folder of prepared sets can't be used.
    """
    if importlib.util.find_spec("array_record") is None:
        return unprepared(source)
    prepare(source)
    folder = prepared_folder(source)
    try:
        return read_back(source, tfds.builder_from_directory(folder))
    except (InputError, MemoryError):
        raise
    except Exception as error:  # what TFDS, protobuf, json and array_record raise
        raise InputError(
            f"{folder} can't be read ({one_line(error)}): delete it, and the set is "
            "prepared again"
        ) from error


def unprepared(source: Source) -> Collection:
    """The set from its file, as it would be read back."""
    source = source if source.channels else discovered(source)
    found = published(source)
    return found._replace(
        name=source.name,
        series=[one.astype(np.float32) for one in found.series],
        channels=source.channels,
        classes=source.classes,
    )


def read_back(source: Source, builder: Any) -> Collection:
    """The set from its prepared form.

    Raises:
      InputError: what was prepared isn't what the catalogue knows.
    """
    metadata, features = builder.info.metadata, builder.info.features
    channels, digest = tuple(metadata["channels"]), metadata["digest"]
    if source.digest and digest != source.digest:
        raise InputError(
            f"{builder.data_path} holds another set (content {digest}, expected "
            f"{source.digest}): delete it, and the set is prepared again"
        )
    train = read_split(builder, "train")
    test = read_split(builder, "test") if "test" in builder.info.splits else []
    series = [example["series"] for example in train + test]
    if "label" not in features:
        return Collection(source.name, series, channels)
    return Collection(
        name=source.name,
        series=series,
        channels=channels,
        labels=np.array([example["label"] for example in train + test]),
        classes=tuple(features["label"].names),
        num_train=len(train),
    )


def prepare(source: Source) -> None:
    """Prepares the set unless it has been: whole and checked, or not at all.

    Processes that prepare the same set at the same time don't disturb each other: the
    first to finish gives the result for all.

    Raises:
      InputError: see `load`.
    """
    if prepared(source):
        return
    if not source.channels:
        source = discovered(source)
    root = prepared_folder(source).parent.parent
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            builder_class(source)(
                data_dir=root, file_format="array_record"
            ).download_and_prepare()
    except (OSError, RuntimeError) as error:  # array_record has RuntimeErrors alone
        if not prepared(source):  # or another process was faster
            raise InputError(
                f"can't prepare {source.name} in {root} ({one_line(error)}): set "
                "TFDS_DATA_DIR to a folder that is writable and has room"
            ) from error


def read_split(builder: Any, split: str) -> list[dict[str, Any]]:
    """All examples of a split, in order."""
    data = builder.as_data_source(split=split)
    starts = range(0, len(data), CHUNK)
    chunks = [range(start, min(start + CHUNK, len(data))) for start in starts]
    return [row for chunk in chunks for row in data.__getitems__(list(chunk))]


class SeriesBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """What the builders of all sets share; `builder_class` makes the one of a set.

    Give `file_format="array_record"`: the other formats need TensorFlow, or lose rows.
    """

    RELEASE_NOTES: ClassVar[dict[str, str]] = {VERSION: "As published."}
    VERSION = tfds.core.Version(VERSION)
    source: ClassVar[Source]

    def _info(self):
        source = self.source
        features = {
            "series": tfds.features.Tensor(
                shape=(None, len(source.channels)), dtype=np.float32
            ),
            "length": np.int64,
        }
        if source.classes:
            features["label"] = tfds.features.ClassLabel(names=source.classes)
        return tfds.core.DatasetInfo(
            builder=self,
            description=source.description,
            features=tfds.features.FeaturesDict(features),
            homepage=source.homepage,
            citation=source.citation,
            license=source.licence,
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(channels=list(source.channels)),
        )

    def _split_generators(self, dl_manager):
        """Reads the file that `locate` finds; the manager of TFDS isn't used."""
        del dl_manager
        collection = published(self.source)
        self.info.metadata["digest"] = content_digest(collection)
        count = collection.num_train
        return {
            split: self._generate_examples(collection, part)
            for split, part in (
                ("train", slice(0, count)),
                ("test", slice(count, None) if count else slice(0)),
            )
            if len(collection.series[part])
        }

    def _generate_examples(
        self, collection: Collection, part: slice
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        labels = collection.labels
        for index, series in enumerate(collection.series[part]):
            example = {"series": series.astype(np.float32), "length": len(series)}
            if labels is not None:
                example["label"] = int(labels[part][index])
            yield index, example


def builder_class(source: Source) -> type[SeriesBuilder]:
    """The builder of one set, whose shape is known; TFDS's registry isn't touched."""
    title = "".join(word.capitalize() for word in source.name.split("_"))
    return type(
        title,
        (SeriesBuilder,),
        {
            "__doc__": source.description,
            "__module__": __name__,
            "name": source.name,
            "source": source,
        },
        skip_registration=True,
    )


def discovered(source: Source) -> Source:
    """The source with the facts that reading its file showed."""
    collection = published(source)
    lengths = [len(series) for series in collection.series]
    num_train = collection.num_train or len(lengths)
    return source._replace(
        channels=collection.channels,
        classes=collection.classes,
        num_train=num_train,
        num_test=len(lengths) - num_train,
        lengths=(min(lengths), max(lengths)),
        parse=lambda _: collection,
    )


def published(source: Source) -> Collection:
    """What the set's file holds, which is what was published.

    Raises:
      InputError: the file can't be had or read, or holds other series.
    """
    path = raw_path(source)
    collection = source.parse(path)
    mend = f"delete it, and it is fetched again, or replace it by {source.file.url}"
    found, expected = counts(collection), (source.num_train, source.num_test)
    if source.digest and found != expected:
        unit = "series" if source.classes else "rows"
        raise InputError(
            f"{path} holds {found[0]:,} + {found[1]:,} {unit}, published are "
            f"{expected[0]:,} + {expected[1]:,}: {mend}"
        )
    digest = content_digest(collection)
    if source.digest and digest != source.digest:
        raise InputError(
            f"{path} holds other values than published (content {digest}, expected "
            f"{source.digest}): {mend}"
        )
    for field in ("channels", "classes") if source.channels else ():
        known, found = getattr(source, field), getattr(collection, field)
        if known != found:
            raise InputError(
                f"{path} has the {field} {', '.join(found) or '-'}, and the catalogue "
                f"{', '.join(known) or '-'}: correct the {field} of "
                f"{source.name!r} in l2d_jax/data/public/catalog.py"
            )
    return collection


def raw_path(source: Source) -> Path:
    """The set's file; without one, the copy that a package has; else downloaded."""
    if find(source.file, *source.others) is None and (folder := bundled_folder(source)):
        return folder
    return locate(source.file, *source.others)


def content_digest(collection: Collection) -> str:
    """sha256 of what the set holds: float32 values, lengths and labels, in order."""
    digest = hashlib.sha256()
    for series in collection.series:
        digest.update(np.asarray(series, dtype="<f4").tobytes())
    lengths = [len(series) for series in collection.series]
    digest.update(np.array(lengths, dtype="<i8").tobytes())
    if collection.labels is not None:
        digest.update(collection.labels.astype("<i8").tobytes())
    return digest.hexdigest()


def counts(collection: Collection) -> tuple[int, int]:
    """Series for training and for testing; of a recording, its rows and 0."""
    if collection.labels is None:
        return sum(map(len, collection.series)), 0
    num_train = collection.num_train or 0
    return num_train, len(collection.series) - num_train
