"""The data of a fit: arrays in memory, memory maps, and dask arrays whose chunks stay where they are."""

from .dask_arrays import refuse_dask
from .dask_data import DaskData
from .distributed import DistributedObjective
from .entrance import DATA_CHECKS, checked_data, read
from .memory import MemoryData, is_mapped
from .prediction import lazily, scores_dask
from .rules import Rules, check_penalty, check_sample_weight, held_out_rows

__all__ = [
    "DATA_CHECKS",
    "DaskData",
    "DistributedObjective",
    "MemoryData",
    "Rules",
    "check_penalty",
    "check_sample_weight",
    "checked_data",
    "held_out_rows",
    "is_mapped",
    "lazily",
    "read",
    "refuse_dask",
    "scores_dask",
]
