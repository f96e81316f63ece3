"""The fault table: what goes wrong, and what is left afterwards.

    python benchmarks/faults.py --kills=30

Runs FILES of tests/, with real processes and real signals, and writes their outcome to
--out, runs/faults/faults.md. Half an hour of a core or so; --only picks tests, whose
outcome joins that of the others in --out. It takes the packages of the tests.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

try:
    import beartype  # noqa: F401 (the settings of pytest name it)
    import pytest
except ImportError as error:
    raise SystemExit(f"{error.name} is missing: pip install -e '.[test]'") from None

from l2d_jax.files import write_text
from l2d_jax.progress import showable

ROOT = Path(__file__).resolve().parents[1]
FILES = ("test_damage.py", "test_lock.py", "test_memory.py", "test_faults.py")
WORDS = {"passed": "yes", "failed": "**NO**", "skipped": "not run"}


class Rows:
    """A plugin of pytest that notes, for each test, what it shows and how it went."""

    def __init__(self):
        self.tests: dict[str, dict] = {}

    def pytest_collection_modifyitems(self, items):
        """What each test says of itself."""
        for item in items:
            fault, _, outcome = (item.function.__doc__ or item.name).partition(" -> ")
            self.tests[item.nodeid] = {
                "fault": fault.strip(),
                "outcome": outcome.strip(),
                "real": item.get_closest_marker("slow") is not None,
                "result": "not run",
                "found": "",
            }

    def pytest_runtest_logreport(self, report):
        """The worst of set-up and call."""
        test = self.tests.get(report.nodeid, {"found": ""})  # {}: deselected
        if report.when == "call" or report.outcome != "passed":
            test["result"] = WORDS[report.outcome]
        test["found"] = dict(report.user_properties).get("found", test["found"])


def table(tests: dict[str, dict]) -> str:
    """A row for each fault; the parameters of a test share it."""
    rows: dict[str, dict] = {}
    for name, test in tests.items():
        row = rows.setdefault(name.split("[")[0], {**test, "results": []})
        row["results"].append(test["result"])
        row["found"] = row["found"] or test["found"]
    lines = ["| fault | what happens | held | tried in |", "|---|---|---|---|"]
    for row in sorted(rows.values(), key=lambda row: not row["real"]):
        total = len(row["results"])
        counts = {one: row["results"].count(one) for one in row["results"]}
        held = ", ".join(f"{one} ({n} of {total})" for one, n in counts.items())
        where = "real processes" if row["real"] else "one process"
        outcome = row["outcome"] + (f": {row['found']}" if row["found"] else "")
        lines.append(f"| {row['fault']} | {outcome} | {held} | {where} |")
    return "\n".join(lines)


def main() -> None:
    """Runs all and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="kill -9, so many times")
    parser.add_argument("--only", default="", help="as pytest's -k: merged into --out")
    parser.add_argument("--out", type=Path, default=Path("runs/faults/faults.md"))
    arguments = parser.parse_args()
    os.environ["L2D_KILLS"] = str(arguments.kills)
    rows, began = Rows(), time.monotonic()
    flags = [str(ROOT / "tests" / name) for name in FILES]
    flags += ["-q", "-p", "no:cacheprovider"]
    if arguments.only:
        flags += ["-k", arguments.only]
    status = pytest.main(flags, plugins=[rows])
    record = arguments.out.with_suffix(".json")
    if arguments.only and record.exists():
        known = json.loads(record.read_text())
        rows.tests = known | {
            name: test
            for name, test in rows.tests.items()
            if test["result"] != "not run" or name not in known
        }
    write_text(record, json.dumps(rows.tests, indent=1) + "\n")
    minutes = f"{(time.monotonic() - began) / 60:.0f} min"
    text = (
        f"# Faults\n\n`python benchmarks/faults.py --kills={arguments.kills}`, "
        f"{'in parts (--only)' if arguments.only else minutes}, Python "
        f"{platform.python_version()}, {platform.system()}. “The same results”: "
        "weights, samples and scores equal, bit by bit, those of a run that nothing "
        "happened to, and no file is left half-written.\n\n"
        f"{table(rows.tests)}\n"
    )
    write_text(arguments.out, text)
    print(showable(text))
    raise SystemExit(status)


if __name__ == "__main__":
    main()
