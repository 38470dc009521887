"""Code that the benchmarks share: threads, medians of interleaved runs, tables, CSV, data."""

import argparse
import csv
import math
import os
import statistics
import time
import warnings
from contextlib import contextmanager

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits


def parser(doc):
    """Return an argument parser with the options of every benchmark."""
    raw = argparse.RawDescriptionHelpFormatter
    result = argparse.ArgumentParser(description=doc, formatter_class=raw)
    result.add_argument("--threads", type=int, default=1, help="processors, for every side (default 1)")
    result.add_argument(
        "--repeats", type=int, default=3, help="runs of each side; the median counts (default 3)"
    )
    result.add_argument("--csv", metavar="FILE", help="write the rows there too")
    result.add_argument("--quick", action="store_true", help="few and small cases")
    return result


def limit_threads(count):
    """Limit the process to this number of processors, and every thread pool to this number of threads.

    Call it before a peer is imported, since some choose the size of their pool at import.
    """
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[-count:])
    threadpool_limits(count)


def timed(run):
    """Return (result, seconds) of one run."""
    start = time.perf_counter()
    result = run()
    return result, time.perf_counter() - start


SHORT_SECONDS = 0.3
"""Runs that take less than this in total are repeated more often, since a median of three runs of some ms is noisy."""


SPIN_SECONDS = 0.15
"""How long threads of a BLAS may spin after their last product, which slows down the next side: OpenBLAS 0.3.34 does
so for 0.1 s (processor time of a sleeping process after a product on two threads)."""


def settled(run):
    """Wait until the threads of the previous side sleep, and run once if that is short, so that caches are filled."""
    time.sleep(SPIN_SECONDS)
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    return timed(run) if seconds < SPIN_SECONDS else (result, seconds)


def interleaved(runs, repeats, first=(), measure=timed):
    """Return {name: median seconds} of runs taken in turns, A B A B, so that a slow moment hits all sides.

    Parameters
    ----------
    runs : dict of str to callable
        The sides, warmed up.
    repeats : int
        Minimum number of turns.
    first : dict of str to float, default=()
        Seconds of a turn that has already been taken; that side then gets one turn fewer.
    measure : callable, default=timed
        ``measure(run) -> (result, seconds)``; use `settled` if sides with their own threads take turns.
    """
    times = {name: [] for name in runs}
    for name, seconds in dict(first).items():
        times[name].append(seconds)
    turn = 0
    while turn < repeats or sum(map(sum, times.values())) < SHORT_SECONDS:
        for name, run in runs.items():
            if len(times[name]) <= turn:
                times[name].append(measure(run)[1])
        turn += 1
    return {name: statistics.median(taken) for name, taken in times.items()}


def geometric_mean(values):
    """Return the geometric mean, or NaN for no values."""
    return math.exp(np.mean(np.log(values))) if len(values) else math.nan


@contextmanager
def quiet():
    """Suppress warnings about unfinished fits and about overflow in peers; the tables show the losses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def print_table(title, header, rows):
    """Print rows under a header, columns right-aligned."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells)]
    print(f"\n{title}")
    for row in (header, ["-" * width for width in widths], *cells):
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths)))


def _cell(value):
    if value is None or isinstance(value, float) and math.isnan(value):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def write_csv(path, rows):
    """Write a list of dicts, with keys in the order in which they first occur; do nothing without a path."""
    if not path:
        return
    fields = list(dict.fromkeys(key for row in rows for key in row))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        writer.writerows(rows)


def mnist():
    """Return (X, y): 60 000 training images of shape (60000, 784) in [0, 1] and their digits.

    They come from the file that QNEWTON_MNIST names (arrays X_train, y_train), or else from openml.org.
    """
    path = os.environ.get("QNEWTON_MNIST")
    if path:
        with np.load(path) as data:
            return data["X_train"].reshape(-1, 784) / 255.0, data["y_train"]
    from sklearn.datasets import fetch_openml

    X, y = fetch_openml("mnist_784", return_X_y=True, as_frame=False)
    return X[:60_000] / 255.0, y[:60_000].astype(int)


class Stamps:
    """Callback of scikit-learn 1.9 that records the seconds at the end of every epoch and ends a fit at a deadline.

    Attributes
    ----------
    seconds : list of float
        Seconds since the fit began, one entry per epoch.
    """

    def __init__(self, deadline_seconds=math.inf):
        self.deadline_seconds = deadline_seconds

    def setup(self, estimator, context):
        self.seconds, self._start = [], time.perf_counter()

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        if context.task_name == "epoch":
            self.seconds.append(time.perf_counter() - self._start)
            return self.seconds[-1] > self.deadline_seconds
        return False
