"""The result files of the page, and the format of its numbers."""

import math
import statistics
from pathlib import Path

from language_costs import curves_by_run, steps_to_losses
from results import read


class Tables:
    """The result files of a folder, read on demand; those of the largest images come first."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def get(self, name):
        """Return the rows of a file, None if there is none."""
        path = self.folder / f"{name}.csv"
        return read(path)[0] if path.exists() else None

    def about(self, name):
        """Return the provenance at the head of a file."""
        return read(self.folder / f"{name}.csv")[1]

    def dnn_label(self, name):
        """Return the pixels of the largest run of the DNN that has a file: "28", "14" or "7", None without any."""
        return next((label for label in ("28", "14", "7") if self.get(f"dnn_{label}_{name}")), None)

    def longest_dnn(self, kind):
        """Return the pixels of the run of the DNN with the most steps that has "times" or "sweeps", None without.

        Images of 7 x 7 pixels are for quick runs.
        """
        steps = {}
        for label in ("28", "14"):
            rows = self.get(f"dnn_{label}_{kind}")
            if rows:
                steps[label] = rows[0]["steps"] if kind == "sweeps" else len(self.get(f"dnn_{label}_steps"))
        return max(steps, key=steps.get, default=None)

    def dnn(self, name):
        """Return the rows of a file of the largest run of the DNN that has it, None without any."""
        label = self.dnn_label(name)
        return self.get(f"dnn_{label}_{name}") if label else None

    def dnn_size(self, name=None, label=None):
        """Return the size of that run as text, or that of the run with these pixels."""
        label = self.dnn_label(name) if label is None else label
        rows = label and (self.get(f"dnn_{label}_times") or self.get(f"dnn_{label}_sparsity"))
        return f"$N$ = {int(rows[0]['n']):,}, {label} x {label} pixels" if rows else "MNIST, small images"

    def sources(self):
        """Return {file: its provenance}."""
        return {path.name: read(path)[1] for path in self.folder.glob("*.csv")}

    def steps_table(self, model):
        """Return a Markdown table of the steps of every rule to losses that SGD reaches, "" without a run."""
        rows = self.get(f"language_{model}_curves")
        if not rows:
            return ""
        table = steps_to_losses(rows)
        fields = list(table[0])
        lines = ["| " + " | ".join(fields) + " |", "|" + "---|" * len(fields)]
        lines += ["| " + " | ".join(number(row[field]) for field in fields) + " |" for row in table]
        seeds = len(curves_by_run(rows)["sgd"])
        last = {rule: _last_validation(rows, rule) for rule in fields[1:]}
        ends = ", ".join(f"{rule} {number(loss)}" for rule, loss in last.items())
        return (
            "\n".join(lines) + f"\n\nMedian of {seeds} seeds. Validation loss after the last step: {ends}.\n"
        )


def number(value, digits=3):
    """Return a number as text; "-" for one that is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float) and (abs(value) >= 1e4 or 0 < abs(value) < 1e-3):
        return f"{value:.1e}"
    return f"{value:.{digits}g}" if abs(value) < 1e3 else f"{value:,.0f}"


def seconds(value):
    """Return seconds as text."""
    return number(value) if number(value) == "-" else f"{number(value)} s"


def _last_validation(rows, rule):
    found = [row for row in rows if row["rule"] == rule and row.get("validation_loss") is not None]
    last = max((row["step"] for row in found), default=None)
    return statistics.median([row["validation_loss"] for row in found if row["step"] == last] or [math.nan])
