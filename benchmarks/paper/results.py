"""Tables of results: CSV files that record the machine, versions, command and date of their making."""

import csv
import datetime
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

FOLDER = Path(__file__).parent / "results"

PACKAGES = ("numpy", "scipy", "scikit-learn", "autograd")


def provenance(argv=None):
    """Return the lines that head a file: command, date, machine, versions."""
    argv = sys.argv if argv is None else argv
    command = " ".join(["python", f"benchmarks/paper/{Path(argv[0]).name}", *argv[1:]])
    return {
        "command": command,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{_processor()}, {os.cpu_count()} processors, one BLAS thread",
        "load": _load(),
        "versions": f"Python {platform.python_version()}, "
        + ", ".join(f"{p} {_version(p)}" for p in PACKAGES),
    }


def write(path, rows, about=None):
    """Write rows (dicts) under comment lines of the provenance and of `about` (dict of str); atomically."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    fields = list(dict.fromkeys(key for row in rows for key in row))
    part = path.with_suffix(".part")
    with part.open("w", newline="", encoding="utf-8") as file:
        for key, value in {**provenance(), **(about or {})}.items():
            file.write(f"# {key}: {value}\n")
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    part.replace(path)


def read(path):
    """Return (rows, about) of a file of `write`; numbers as floats, empty cells as None."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        lines = file.read().splitlines()
    heads = [line[2:] for line in lines if line.startswith("# ")]
    about = dict(head.split(": ", 1) for head in heads)
    rows = list(csv.DictReader(line for line in lines if not line.startswith("# ")))
    return [{key: _parsed(value) for key, value in row.items()} for row in rows], about


def print_table(title, rows):
    """Print dicts as aligned columns."""
    fields = list(dict.fromkeys(key for row in rows for key in row))
    cells = [fields] + [[_cell(row.get(field)) for field in fields] for row in rows]
    widths = [max(len(str(line[i])) for line in cells) for i in range(len(fields))]
    print(f"\n{title}")
    for line in cells:
        print("  ".join(str(cell).rjust(width) for cell, width in zip(line, widths)))


def _cell(value):
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _parsed(text):
    if text == "":
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(": ", 1)[1] for line in lines if line.startswith("model name"))
    except (OSError, StopIteration, IndexError):
        return platform.processor() or platform.machine()


def _load():
    """Return the load of the machine over the last 15 minutes; above its processors, measured times are too long."""
    return f"average load {os.getloadavg()[2]:.1f}" if hasattr(os, "getloadavg") else "unknown load"


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
