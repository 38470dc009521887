"""Dask arrays as the data of a fit: checks that run where the blocks are, and the objective on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qnewton_sk.machine import available_memory_bytes
from qnewton_sk.nets import Network

from .dask_arrays import aligned, as_column, checked_array, is_dask, row_blocks
from .distributed import DistributedObjective, Part
from .graph import cluster_memory_bytes, tree
from .rules import Rules
from .survey import Survey, merged, survey_block

Array = NDArray[Any]

COPIES_OF_PARTS = 1.5
"""Bytes per byte of inputs that a kept part takes: a copy with units first, targets and temporaries."""

SHARE_OF_MEMORY = 0.5
"""Fraction of the memory of this machine, or of all workers, that kept parts may take."""


@dataclass(frozen=True)
class Making:
    """What is needed to make the parts of an objective from blocks of data."""

    network: Network
    rules: Rules
    factors: Array | None
    total_weight: float
    n_samples: int
    dtype: Any


def make_part(block: Sequence[Any], making: Making) -> Part:
    """Return the objective on one block of data that have already been checked."""
    X, y, weight = making.rules.checked(*block, is_known=True)
    X = X.astype(making.dtype, copy=False)
    targets = making.rules.encode(y, making.dtype)
    weight = making.rules.weighted(targets, weight, making.factors)
    share = X.shape[0] / making.n_samples
    return Part(making.network, X, targets, weight, total_weight=making.total_weight, share=share)


class DaskData:
    """Inputs, targets and weights in blocks of rows, which stay where dask keeps them.

    Parameters
    ----------
    X, y, weight : dask.array.Array
        The data; weights may be None or a number.
    blocks : list of tuple
        The delayed objects (X, y, weight) of each block.
    survey : Survey
        Facts about all blocks.
    rules : Rules
        How blocks are checked and encoded.

    Attributes
    ----------
    examples : ndarray
        Targets that represent all others: the labels, or the extremes of numbers.
    identity : dict
        What distinguishes these data from others, for a checkpoint.
    """

    def __init__(self, X: Any, y: Any, weight: Any, blocks: list[Any], survey: Survey, rules: Rules):
        self.X, self.y, self.weight = X, y, weight
        self.blocks, self.survey, self.rules = blocks, survey, rules
        self.n_samples = sum(survey.lengths)
        assert survey.scales is not None and survey.examples is not None
        self.n_features, self.examples = len(survey.scales), survey.examples
        self.dtype = np.result_type(*survey.dtypes)
        names = "X", "y", "sample_weight"
        self.identity = {name: [each[k] for each in survey.hashes] for k, name in enumerate(names)}

    @property
    def n_outputs(self) -> int:
        """The number K of outputs of the net; computing it checks the extremes of the targets."""
        return self.rules.encode(self.examples, self.dtype).shape[1]

    @property
    def total_weight(self) -> float:
        """The sum of the weights of the samples."""
        return self.survey.total_weight

    @property
    def largest_target(self) -> float:
        """The largest absolute value of an encoded target, which is that of an extreme."""
        return float(np.abs(self.rules.encode(self.examples, self.dtype)).max())

    def class_totals(self, classes: Array) -> Array:
        """Return the total weight of each class, for targets of one label per sample."""
        totals = np.zeros(len(classes))
        totals[np.searchsorted(classes, self.examples)] = self.survey.label_totals
        return totals

    def objective(
        self, network: Network, alpha: Any, factors: Array | None, *, merges: bool
    ) -> DistributedObjective:
        """Return the training objective, whose parts are kept on the workers if there is enough memory.

        Equal samples are never merged (`merges` is ignored), since they may lie on different machines.
        """
        total = self.survey.total_weight
        if factors is not None:
            totals = self.survey.label_totals
            labels = self.rules.codes(self.rules.encode(self.examples, self.dtype))  # type: ignore[misc]
            total = float(totals @ factors[labels])
        making = Making(network, self.rules, factors, total, self.n_samples, self.dtype)
        parts = self._parts(making)
        return DistributedObjective(network, parts, self.n_samples, total, alpha, self.dtype)

    def _parts(self, making: Making) -> list[Any]:
        import dask

        shared = dask.delayed(making, pure=False, traverse=False)
        make = dask.delayed(make_part, pure=True)
        filled = [block for block, n in zip(self.blocks, self.survey.lengths) if n]
        parts = [make(block, shared) for block in filled]
        needed = COPIES_OF_PARTS * self.n_samples * self.n_features * self.dtype.itemsize
        memory = cluster_memory_bytes()
        memory = available_memory_bytes() if memory is None else memory
        return list(dask.persist(*parts)) if needed <= SHARE_OF_MEMORY * memory else parts

    def scales(self) -> Array:
        """Return the largest absolute value of each column of X."""
        assert self.survey.scales is not None
        return self.survey.scales

    def output_range(self, network: Network, theta: Array) -> tuple[Array, Array]:
        """Return the smallest and the largest raw output, each of shape (K,)."""
        filled = [block for block, n in zip(self.blocks, self.survey.lengths) if n]
        extremes = tree(_output_range, filled, (network, theta, self.rules), _merged_ranges)
        return extremes[0], extremes[1]


def _output_range(block: Sequence[Any], shared: Any) -> Array:
    network, theta, rules = shared
    X = rules.checked(*block, is_known=True)[0]
    raw = network.raw(X, theta)
    return np.stack([raw.min(axis=0), raw.max(axis=0)])


def _merged_ranges(ranges: Sequence[Array]) -> Array:
    everything = np.stack(ranges)
    return np.stack([everything[:, 0].min(axis=0), everything[:, 1].max(axis=0)])


def read_dask(X: Any, y: Any, weight: Any, rules: Rules, *, hashes: bool = False) -> DaskData:
    """Return the data of dask arrays, after every block has been checked on its worker.

    Parameters
    ----------
    X : dask.array.Array of shape (n, d)
        Inputs in chunks of rows; columns in several chunks are merged into one.
    y : dask.array.Array or array-like of shape (n,) or (n, K)
        Targets.
    weight : dask.array.Array, array-like or None
        Weights of the samples.
    rules : Rules
        How blocks are checked and encoded.
    hashes : bool, default=False
        Whether the contents are hashed, for a checkpoint.

    Raises
    ------
    ValueError
        If the arrays cannot be aligned, or a block fails the checks of data in memory.
    """
    X = checked_array("X", X, (2,))
    y = as_column(checked_array("y", aligned("y", _in_memory(y), X), (1, 2)))
    arrays = [X, y]
    if weight is not None and np.ndim(weight):
        arrays.append(checked_array("sample_weight", aligned("sample_weight", _in_memory(weight), X), (1,)))
    columns = [row_blocks(array) for array in arrays]
    if len(arrays) == 2:
        columns.append([weight] * len(columns[0]))
    blocks = list(zip(*columns))
    survey = tree(survey_block, blocks, (rules, hashes), merged)
    if survey.examples is None:
        raise ValueError(
            f"`X` must hold at least one sample; got shape {X.shape} with {len(blocks)} empty chunks"
        )
    return DaskData(X, y, weight, blocks, survey, rules)


def _in_memory(data: Any) -> Any:
    """Return a dask collection as it is, and anything else as an array."""
    return data if is_dask(data) else np.asarray(data)
