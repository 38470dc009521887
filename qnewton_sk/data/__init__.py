"""What a fit reads: arrays in memory, memory maps, and dask arrays whose chunks stay where they are."""

from .dask_arrays import refuse_dask
from .dask_data import DaskData
from .distributed import DistributedObjective
from .entrance import read
from .memory import MemoryData, is_mapped
from .prediction import lazily, scores_dask
from .rules import Rules

__all__ = [
    "DaskData",
    "DistributedObjective",
    "MemoryData",
    "Rules",
    "is_mapped",
    "lazily",
    "read",
    "refuse_dask",
    "scores_dask",
]
