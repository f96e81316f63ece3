"""The time of a user's table: which column it is, and how it is written."""

from datetime import datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from own_files import assert_it_fails_with_one_line, lists, written

from l2d_jax.data.own import columns
from l2d_jax.samples import write_samples
from l2d_jax.types import Examples, InputError

EXPIRY = "expiry,price\n2020-06-19,1.5\n2020-03-20,2.5\n2020-06-19,4.5\n"


def test_dates_that_are_not_the_time(read):
    for channels in ("", "price"):
        found = read(EXPIRY, channels=channels)
        assert lists(found) == [[[1.5], [2.5], [4.5]]]
        assert found.form.time_column == ""
        assert found.notes[0].startswith(
            "left out 'expiry': dates that are not in order; if they are the time"
        )
        assert len(found.notes) == 1
    dated = EXPIRY.replace("expiry", "date")
    for content in (dated, EXPIRY):
        with pytest.raises(InputError, match=r"line 3, .*: earlier than the row above"):
            read(content, time_column=content[: content.index(",")])
    found = read(dated, time_column="none")
    assert lists(found) == [[[1.5], [2.5], [4.5]]]
    assert found.notes == ("left out 'date': not numbers",)


def test_the_time_among_other_dates(read):
    rows = [
        "2020-06-19,2020-01-02,1",
        "2020-03-20,2020-01-03,2",
        "2020-06-19,2020-01-04,4",
    ]
    found = read("\n".join(["expiry,traded,price", *rows]))
    assert found.form.time_column == "traded"
    assert found.form.time_start == "2020-01-02T00:00:00.000000"


def test_numbers_that_count_time_within_each_series(read):
    """From its own start; a gap among many equal steps is none of a value."""
    for name, times in (("t", range(20)), ("elapsed", (*range(0, 38, 2), 44))):
        rows = [f"{one},{time},{time % 3}\n" for one in "uv" for time in times]
        found = read(f"id,{name},a\n" + "".join(rows))
        assert (found.form.time_column, found.channels) == (name, ("a",))
        assert len(found.series) == 2


@pytest.mark.parametrize(
    ("name", "step", "is_time"),
    [
        ("Time (s)", 0.25, True),
        ("unix", 60, True),
        ("year", 1, True),
        ("elapsed", 2, True),
        ("uptime", 0, False),  # stays
        ("pressure", 1, False),
    ],
)
def test_numbers_that_rise_evenly_are_time_by_name(read, name, step, is_time):
    rows = [f"{1900 + step * i},{i % 3}\n" for i in range(20)]
    if not step:
        rows[3] = "1800,1\n"
    found = read(f"{name},a\n" + "".join(rows))
    assert found.channels == (("a",) if is_time else (name, "a"))
    if is_time:
        assert (found.form.time_column, float(found.form.time_step)) == (name, step)


@pytest.mark.parametrize(
    ("texts", "time_format", "step", "column"),
    [
        (
            [f"2024-01-01 {i:02d}:00:00 UTC" for i in range(4)],
            "%Y-%m-%d %H:%M:%S UTC",
            "P0DT1H0M0S",
            "when",
        ),
        (["20240101 0000", "20240101 0030"], "%Y%m%d %H%M", "P0DT0H30M0S", "when"),
        (["Jan-90", "Feb-90", "Mar-90"], "%b-%y", "P1M", "when"),
        (["2024010100", "2024010101", "2024010102"], "%Y%m%d%H", "P0DT1H0M0S", "when"),
        (["202401010000", "202401010010"], "%Y%m%d%H%M", "P0DT0H10M0S", "time"),
        (["20240101235959", "20240102000000"], "%Y%m%d%H%M%S", "P0DT0H0M1S", "stamp"),
    ],
)
def test_ways_to_write_a_time(read, tmp_path, texts, time_format, step, column):
    """And the same in samples."""
    rows = "".join(f"{text},{i}\n" for i, text in enumerate(texts))
    found = read(f"{column},a\n{rows}")
    assert found.channels == ("a",)
    assert (found.form.time_format, found.form.time_step) == (time_format, step)
    series = found.series[0][None]
    path = tmp_path / "samples.csv"
    lengths = np.array([len(texts)])
    write_samples(
        path,
        iter([Examples(series, lengths)]),
        n=1,
        channels=("a",),
        settings={},
        form=found.form,
    )
    lines = path.read_text().splitlines()[1:]
    assert [line.split(",")[1] for line in lines] == texts


def test_every_way_to_write_a_time_is_found():
    zone = timezone(timedelta(hours=5, minutes=30))
    time = datetime(2021, 3, 14, 15, 9, 26, 535897, zone)
    known = [date + rest for date in columns.DATES for rest in columns.BEHIND_DATE]
    assert len(known) == 22 * (1 + 3 * 6 * 5)  # dates, joins, clocks, zones
    for one in known:
        assert one in columns.formats(time.strftime(one)), one


def test_texts_of_another_shape_are_not_tried(monkeypatch):
    """A header of 140 numbers was tried in 1,820 formats each, which took a minute."""
    tried = []

    class Counted(datetime):
        @classmethod
        def strptime(cls, text, time_format):
            tried.append(time_format)
            return datetime.strptime(text, time_format)

    monkeypatch.setattr(columns, "datetime", Counted)
    assert columns.formats("0.1257") == columns.formats("1-2a") == tried == []
    assert columns.formats("2020-01-31 15:00") == ["%Y-%m-%d %H:%M"] == tried


def test_text_without_a_time_is_said_by_name(read):
    rows = "".join(f"day {i},x,{i % 3}\n" for i in range(5))
    found = read(f"obs_time,holiday,a\n{rows}")
    assert found.notes == (
        "left out 'obs_time': its times can't be read; rows are taken in the order of "
        "the file",
        "left out 'holiday': not numbers",
    )


def test_a_cell_that_is_no_date_in_a_later_chunk(read, monkeypatch):
    monkeypatch.setattr("l2d_jax.data.own.csv_files.CHUNK", 4)
    days = [f"2020010{i}" for i in range(1, 8)] + ["20200108.5"]
    content = "date,a\n" + "".join(f"{day},{i % 3}\n" for i, day in enumerate(days))
    with pytest.raises(InputError, match=r"line 9, column 'date'.*20200108.5"):
        read(content)


@pytest.mark.parametrize(("channel", "time"), [("a", "time"), ("time", "time_1")])
def test_a_time_without_a_name_gets_one(read, channel, time):
    found = read(f",{channel}\n2020-01-01,5\n2020-01-02,6\n")
    assert (found.form.time_column, found.channels) == (time, (channel,))


def test_a_temperature_called_t_is_a_channel(read):
    assert read("t,a\n20,5\n21,6\n20,7\n").channels == ("t", "a")


@pytest.mark.parametrize(
    ("first", "second", "time_format", "step"),
    [
        ("2020-01-01", "2020-01-02", "%Y-%m-%d", "P1DT0H0M0S"),
        (
            "2020-01-01T10:00:00Z",
            "2020-01-01T11:00:00Z",
            "%Y-%m-%dT%H:%M:%SZ",
            "P0DT1H0M0S",
        ),
        ("2020-01-01 10:00", "2020-01-01 10:15", "%Y-%m-%d %H:%M", "P0DT0H15M0S"),
        (
            "2020-01-31 00:00:00",
            "2020-01-31 00:00:00.25",
            "%Y-%m-%d %H:%M:%S.%f",
            "P0DT0H0M0.25S",
        ),
        ("31.12.2019", "01.01.2020", "%d.%m.%Y", "P1DT0H0M0S"),
        ("12/31/2019", "01/01/2020", "%m/%d/%Y", "P1DT0H0M0S"),
        ("31/12/2019", "01/01/2020", "%d/%m/%Y", "P1DT0H0M0S"),
        ("31-Dec-2019", "01-Jan-2020", "%d-%b-%Y", "P1DT0H0M0S"),
        ("1/2/2020 1:30 PM", "1/2/2020 2:30 PM", "%m/%d/%Y %I:%M %p", "P0DT1H0M0S"),
        ("20191231", "20200101", "%Y%m%d", "P1DT0H0M0S"),
        ("2020-01", "2020-02", "%Y-%m", "P31DT0H0M0S"),
        ("9-Jan-20", "10-Jan-20", "%d-%b-%y", "P1DT0H0M0S"),
        ('"2020-01-05, 01:30"', '"2020-01-06, 01:30"', "%Y-%m-%d, %H:%M", "P1DT0H0M0S"),
        (
            "2020-01-05 11:30 AM",
            "2020-01-05 01:30 PM",
            "%Y-%m-%d %I:%M %p",
            "P0DT2H0M0S",
        ),
        (
            "2020-01-05 01:30:00+00",
            "2020-01-05 02:30:00-01",
            "%Y-%m-%d %H:%M:%S%z",
            "P0DT2H0M0S",
        ),
    ],
)
def test_times(read, first, second, time_format, step):
    found = read(f"date,a\n{first},1\n{second},2\n")
    assert (found.form.time_format, found.form.time_step) == (time_format, step)
    assert found.channels == ("a",)


@pytest.mark.parametrize(
    "times",
    [
        ["2020-01-01", "2020-01-01 01:00:00", "2020-01-01 02:00:00"],
        ["2020-01-01 00:00", "2020-01-01 00:00:30", "2020-01-01 00:01:00"],
        ["2020-01-01T00:00:00Z", "2020-01-01T00:00:00.5Z", "2020-01-01T00:00:01Z"],
        [
            "2020-01-01 00:00:00+0000",
            "2020-01-01 00:00:00.500000+0000",
            "2020-01-01 00:00:01+0000",
        ],
    ],
)
def test_times_that_leave_out_zeros(read, tmp_path, times):
    """The first cell has less than the others: what is written has it all."""
    rows = [f"{time},{x}" for x, time in enumerate(times)]
    found = read("\n".join(["when,a", *rows]))
    again = written(found, tmp_path / "out.csv", 3)
    stamps = [pd.Timestamp(time) for time in again]
    assert stamps == [pd.Timestamp(time) for time in times]
    assert len({*map(len, again)}) == 1


FAILS = {
    "times unsorted": (
        "x.csv",
        "date,b\n2020-01-01,2\n2020-01-03,3\n2020-01-02,4\n",
        "line 4, column 'date': earlier than the row above; name the column that .* if "
        "there are several; if it is one recording, sort the rows by time",
    ),
    "clocks of two halves unsorted": (
        "x.csv",
        "date,b\n2020-01-01 01:30 PM,2\n2020-01-01 11:30 AM,3\n",
        "line 3, column 'date': earlier than the row above",
    ),
    "date and clock apart": (
        "x.csv",
        "date,time,b\n2020-01-01,1:00,2\n2020-01-01,2:00,3\n",
        "line 3, .*: the same time as in line 2; join 'date' and 'time' into one",
    ),
    "times twice": (
        "x.csv",
        "date,b\n2020-01-01,2\n2020-01-03,3\n2020-01-03,4\n",
        "line 4, column 'date': the same time as in line 3; remove .*id_column",
    ),
    "ticks of nanoseconds": (
        "x.csv",
        "tick,b\n2020-01-01 00:00:00.000000001,2\n2020-01-01 00:00:00.000000002,3\n",
        "line 3, column 'tick': the same microsecond as in line 2; .* set "
        "--config.data.time_column=none if the column isn't the time$",
    ),
    "clocks set back": (
        "x.csv",
        "when,b\n2021-10-31 01:00,2\n2021-10-31 02:00,3\n2021-10-31 02:00,4\n",
        "line 4, column 'when': the same time as in line 3; .* or write them in UTC if "
        "the clocks were set back then, or set --config.data.time_column=none",
    ),
    "clocks set back between": (
        "x.csv",
        "when,b\n2021-10-31 02:30,2\n2021-10-31 02:45,3\n2021-10-31 02:00,4\n",
        "line 4, column 'when': earlier than .* in UTC if the clocks were set back",
    ),
    "newest first": (
        "x.csv",
        "day,b\n2021-10-28,2\n2021-10-27,3\n2021-10-26,4\n",
        "line 3, column 'day': earlier than the row above; sort the rows by time, or "
        "set --config.data.time_column=none if the column isn't the time$",
    ),
    "time missing": (
        "x.csv",
        "date,b\n2020-01-01,2\n,3\n2020-01-03,4\n",
        "line 3, column 'date': the value is missing; fill it in",
    ),
    "no time": (
        "x.csv",
        "date,b\n2020-01-01,2\n2020-01-33,3\n2020-01-04,4\n",
        "line 3, column 'date': '2020-01-33' is no time like .*: correct it",
    ),
    "half of the cells are no times": (
        "x.csv",
        "when,b\n2020-01-01,2\nx,3\n2020-01-03,4\ny,5\n",
        "line 3, column 'when': 'x' is no time like",
    ),
    "a time with a fault": (
        "x.csv",
        "traded,b\n" + "".join(f"2020-01-0{d},{d}\n" for d in (1, 2, 4, 3, 5, 6)),
        "line 5, column 'traded': earlier than the row above",
    ),
    "times twice, of ids apart": (
        "x.csv",
        "id,date,b\nu,2020-01-01,2\nv,2020-01-01,3\nv,2020-01-02,4\nu,2020-01-01,5\n",
        "line 5, column 'date': the same time as in line 2; remove",
    ),
}


@pytest.mark.parametrize("case", FAILS.values(), ids=FAILS)
def test_files_that_fail_with_one_line(tmp_path, case):
    assert_it_fails_with_one_line(tmp_path, case)
