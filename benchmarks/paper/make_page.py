"""Write docs/reproducing.md from the CSV files of the other scripts: the paper's numbers beside ours.

    python benchmarks/paper/make_page.py            # after any of the scripts has been run
    python benchmarks/paper/make_page.py --check # fails if the page does not match the files

Verdicts are computed from the numbers by the rules in `page_rows.py`; a claim without a run says so.
"""

import argparse
import sys
from pathlib import Path

from page_rows import ROWS
from page_tables import Tables
from results import FOLDER

PAGE = Path(__file__).parents[2] / "docs" / "reproducing.md"

TEMPLATE = Path(__file__).with_name("page_template.md")

FIELDS = (
    "claim",
    "the paper",
    "ours, its assumptions",
    "ours, end to end",
    "size of our run",
    "verdict",
    "reason",
)


def page(folder=FOLDER):
    """Return the text of the page."""
    tables = Tables(folder)
    lines = ["| " + " | ".join(FIELDS) + " |", "|" + "---|" * len(FIELDS)]
    for cells in filter(None, (row(tables) for row in ROWS)):
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    text = TEMPLATE.read_text(encoding="utf-8")
    parts = {"@TABLE@": "\n".join(lines), "@CURVES@": _curves(tables), "@SOURCES@": _sources(tables)}
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text


def _cell(text):
    return str(text).replace("|", "\\|")


def _curves(tables):
    parts = [
        f"\n## {label}: steps to equal training loss\n\n{text}"
        for label in ("BERT", "Mistral")
        if (text := tables.steps_table(label.lower()))
    ]
    return "\n".join(parts)


def _sources(tables):
    lines = ["| file | command | date | machine, versions, data |", "|---|---|---|---|"]
    for name, about in sorted(tables.sources().items()):
        keys = ("machine", "load", "versions", "data", "sequences", "precision")
        told = _cell("; ".join(about[key] for key in keys if key in about))
        lines.append(f"| `{name}` | `{about['command']}` | {about['date']} | {told} |")
    return "\n".join(lines)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--results", type=Path, default=FOLDER)
    parser.add_argument("--out", type=Path, default=PAGE)
    parser.add_argument("--check", action="store_true", help="compare with the page, write nothing")
    parser.add_argument("--quick", action="store_true", help="no difference")
    options = parser.parse_args(argv)
    text = page(options.results)
    if options.check:
        sys.exit(text != options.out.read_text(encoding="utf-8"))
    options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
