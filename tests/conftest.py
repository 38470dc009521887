"""Settings shared by all tests."""

import os
import sys
from pathlib import Path

# Before numpy is loaded: the matrices of the tests are too small for more threads, and processes share the cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib
from hypothesis import settings

matplotlib.use("agg")
settings.register_profile("seeded", deadline=None, derandomize=True, max_examples=30, database=None)
settings.load_profile("seeded")

# The scripts of benchmarks/paper import each other by their bare names.
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "paper"))
