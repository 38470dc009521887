"""Settings shared by all tests."""

import matplotlib
from hypothesis import settings

matplotlib.use("agg")
settings.register_profile("seeded", deadline=None, derandomize=True, max_examples=30, database=None)
settings.load_profile("seeded")
