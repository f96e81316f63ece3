"""Zones, days and months, gaps: the steps of a user's times, and what samples get."""

import numpy as np
import pandas as pd
import pytest
from own_files import file_config, lists, written

from l2d_jax.data.own import read_file


@pytest.mark.parametrize(
    "times",
    [
        [f"2020-{month}-01 00:00:00+05:30" for month in ("01", "02", "03")],
        ["2020-01-01 00:00:00+00:00", "2020-01-02 00:00:00+00:00"],
        ["2020-01-01T00:00:00.500000-0330", "2020-01-01T00:00:01.000000-0330"],
        ["01.01.2020 05:00 -01:00", "01.01.2020 06:00 -01:00"],
        ["2020-01-01 05:00+02", "2020-01-01 06:00+02"],
        ["2020-01-01 05:00:00Z", "2020-01-01 06:00:00Z"],
    ],
)
def test_zones_are_kept(read, tmp_path, times):
    content = "\n".join(["when,a", *(f"{t},{x}" for x, t in enumerate(times))])
    found, count = read(content), len(times)
    again = written(found, tmp_path / "y.csv", count)
    assert again == times
    assert "UTC" not in "".join(found.notes)
    instants = [pd.Timestamp(t.replace("01.01.2020", "2020-01-01")) for t in times]
    assert written(found, tmp_path / "y.parquet", count) == instants


def test_a_zone_that_changes(read, tmp_path):
    times = ["2020-03-29 00:00:00+01:00", "2020-03-29 01:00:00+01:00"]
    times.append("2020-03-29 03:00:00+02:00")
    found = read("\n".join(["when,a", *(f"{t},{x}" for x, t in enumerate(times))]))
    times[2] = "2020-03-29 02:00:00+01:00"
    assert written(found, tmp_path / "y.csv", 3) == times
    assert found.notes[1:] == (
        "column 'when' has times in +02:00: samples get theirs in +01:00",
    )


@pytest.mark.parametrize(
    ("zone", "kept"),
    [
        ("UTC", "+0000"),
        ("+05:30", "+0530"),
        ("-03:30", "-0330"),
        ("Europe/Berlin", "+0000"),
    ],
)
def test_zones_of_parquet(tmp_path, zone, kept):
    times = pd.date_range("2020-07-01 10:00", periods=3, freq="h", tz=zone)
    frame = pd.DataFrame({"when": times, "a": [1.0, 2.0, 4.0]})
    frame.to_parquet(tmp_path / "x.parquet")
    found = read_file(file_config(tmp_path / "x.parquet"))
    again = written(found, tmp_path / "y.parquet", 3)
    assert again == times.tolist()
    assert {time.strftime("%z") for time in again} == {kept}
    note = "column 'when' has times in Europe/Berlin: samples get theirs in UTC"
    assert (found.notes[-1] == note) == (zone == "Europe/Berlin")


@pytest.mark.parametrize(
    ("months_days", "time_format", "step"),
    [
        ([(1, d) for d in range(1, 14)], "%m/%d/%Y", "P1DT0H0M0S"),
        ([(m, 1) for m in range(1, 13)], "%m/%d/%Y", "P1M"),
        # As the other isn't rising:
        ([(2, 11), (2, 12), (3, 1)], "%m/%d/%Y", "P9DT12H0M0S"),
    ],
)
@pytest.mark.parametrize("day_first", [False, True])
def test_days_and_months(read, months_days, time_format, step, day_first):
    pairs = [(d, m) if day_first else (m, d) for m, d in months_days]
    years = [2020, 2021] if len(pairs) == 12 else [2020]
    rows = [f"{a:02}/{b:02}/{y},{y + a * b}" for y in years for a, b in pairs]
    found = read("\n".join(["when,a", *rows]))
    expected = "%d/%m/%Y" if day_first else time_format
    assert (found.form.time_format, found.form.time_step) == (expected, step)
    assert f"read the times of column 'when' as {expected}" in found.notes


@pytest.mark.parametrize(
    "dates",
    [
        ("05 01", "03 02", "04 03"),  # day and month: only so they rise
        ("01 01", "01 02", "03 03"),  # rise both ways, by 31 days each only so
    ],
)
@pytest.mark.parametrize("day_first", [False, True])
@pytest.mark.parametrize("adjacent", ["ids", "times"])
def test_days_and_months_within_ids(read, dates, day_first, adjacent):
    """As without ids: the way back from one id's end to the next's start is no step."""
    rows = []
    for one in "uv":
        for x, date in enumerate(dates):
            first, second = date.split() if day_first else date.split()[::-1]
            rows.append((one, f"{first}/{second}/2020", x))
    if adjacent == "times":
        rows.sort(key=lambda row: row[2])
    lines = [f"{one},{date},{x}" for one, date, x in rows]
    found = read("\n".join(["id,date,x", *lines]))
    assert lists(found) == [[[0], [1], [2]]] * 2
    assert found.form.time_format == ("%d/%m/%Y" if day_first else "%m/%d/%Y")


@pytest.mark.parametrize(
    ("dates", "step", "note"),
    [
        ("2020-01-31 2020-02-29 2020-03-31", "P1M-1D", ""),
        ("2019-11-30 2020-02-29 2020-05-31", "P3M-1D", ""),
        ("2020-01-30 2020-02-29 2020-03-31", "P30DT12H0M0S", "30 days 12:00:00"),
        ("2020-01-02 2020-01-03 2020-01-06 2020-01-07", "B", ""),
        ("2020-01-02 2020-01-03 2020-01-06 2020-01-08", "B", "one business day"),
        ("2020-01-02 2020-01-03 2020-01-04 2020-01-06", "P1DT0H0M0S", "1 days"),
    ],
)
@pytest.mark.parametrize("num_ids", [1, 2])
def test_dates_of_calendars(read, dates, step, note, num_ids):
    """Ends of months and business days; a holiday is a gap, a Saturday isn't one."""
    rows = [
        f"{i},{date},{x}"
        for i in range(num_ids)
        for x, date in enumerate(dates.split())
    ]
    found = read("\n".join(["id,date,x", *rows]))
    assert found.form.time_step == step
    uneven = [line for line in found.notes if "unevenly spaced" in line]
    assert len(uneven) == bool(note)
    assert not note or f"its median step, {note}" in uneven[0]


def test_uneven_times_are_noted(read):
    found = read("date,a\n2020-01-01,1\n2020-01-02,2\n2020-01-03,3\n2020-01-05,4\n")
    assert found.notes[-1].startswith("column 'date' is unevenly spaced")
    assert found.notes[-1].endswith("its median step, 1 days 00:00:00")
    found = read(
        "date,a\n" + "".join(f"2020-01-01 0{h}:00,{h}\n" for h in (0, 1, 2, 5))
    )
    assert found.notes[-1].endswith(
        "after a gap too; samples get its median step, 01:00:00"
    )
    assert read("time,a\n0.5,1\n0.75,2\n1.0,3\n").form.time_step == "0.25"


@pytest.mark.parametrize("unit", ["", "e-9"])
def test_numbers_that_are_unevenly_spaced_at_any_scale(read, unit):
    content = "time,a\n" + "".join(f"{t}{unit},{t % 3}\n" for t in (0, 1, 5, 6))
    found = read(content)
    assert float(found.form.time_step) == float(f"1{unit}")
    assert found.notes[-1].startswith("column 'time' is unevenly spaced")
    rows = "".join(f"{t * t}{unit},{t % 3}\n" for t in range(20))
    assert read(f"elapsed,a\n{rows}").channels == ("elapsed", "a")


@pytest.mark.parametrize(
    "times",
    [
        [1_600_000_000_123_456_789 + 1_000_000_001 * i for i in range(5)],
        [i / 10 for i in range(10)],
        [0.3 + i / 4 for i in range(5)],
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_times_that_are_numbers_are_exact(tmp_path, times, suffix):
    frame = pd.DataFrame({"time": times, "a": np.arange(len(times)) ** 2})
    path = tmp_path / f"x{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    found = read_file(file_config(path))
    again = written(found, tmp_path / f"y{suffix}", len(times))
    kind = type(times[0])
    assert [kind(time) for time in again] == times
