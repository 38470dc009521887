"""The training objective on data in parts that stay where dask keeps them."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from qnewton_sk.machine import one_blas_thread
from qnewton_sk.nets import BaseObjective, Network, Objective, with_ones

from .graph import tree

Array = NDArray[Any]


class Part(Objective):
    """The objective on one chunk of rows, without penalty, with weights normalised by the sum over all chunks.

    It stays where its samples are. What a curvature has cached on it is dropped when it is pickled.
    """

    def __init__(self, network: Network, X: Any, *arguments: Any, **settings: Any):
        super().__init__(network, X, *arguments, **settings)
        self._hold_inputs_once()

    def _hold_inputs_once(self) -> None:
        """Replace dense inputs by a view of their copy with units first, of which the chunks are views too.

        Beside the data of a whole fit that copy is a smaller matter: here it decides whether parts can be kept.
        """
        if self._holds_inputs_once:
            whole = with_ones(self.X, self.dtype)
            self.X = whole[:-1].T
            self._inputs = [whole[:, rows] for rows in self._slices]

    @property
    def _holds_inputs_once(self) -> bool:
        return isinstance(self.X, np.ndarray) and self.X.dtype == self.dtype

    @property
    def keeps_inputs(self) -> bool:
        """Whether the inputs of the first layer are kept from pass to pass."""
        return self._holds_inputs_once or super().keeps_inputs

    def kept_for(self, owner: dict[Any, Any]) -> dict[Any, Any]:
        """Return the cache of a curvature, which is on the part because its owner is in another process."""
        return self.memo.setdefault("kept", {})

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without what can be computed again."""
        empty: dict[str, Any] = {
            "_inputs": [None] * self.n_chunks,
            "_last": None,
            "_single": None,
            "memo": {},
        }
        return {**vars(self), **empty}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take the state, and arrange the inputs as they were."""
        vars(self).update(state)
        self._hold_inputs_once()

    def __sizeof__(self) -> int:
        """Return the bytes of the part and its copy of the inputs, so that dask can account for the memory."""
        stored = sum(
            getattr(self.X, name).nbytes for name in ("data", "indices") if hasattr(self.X, "indices")
        )
        inputs = self.n_samples * (self.X.shape[1] + 1) * self.dtype.itemsize
        apart = 0 if self._holds_inputs_once else stored or self.X.nbytes
        return int(apart + inputs + self.targets.nbytes)


@dataclass(frozen=True)
class Work:
    """A call for every part: ``work(part, out, *arguments)``, where `out` is zeros of `shape` unless that is None."""

    work: Callable[..., Any]
    arguments: tuple[Any, ...]
    shape: tuple[int, ...] | None
    in_single: bool


def add_on_part(part: Part, work: Work) -> tuple[float, Array | None]:
    """Return the value that the work returns on one part, and the array to which it has added."""
    part = part.single() if work.in_single else part  # type: ignore[assignment]
    out = None if work.shape is None else np.zeros(work.shape, part.dtype)
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        return work.work(part, out, *work.arguments), out


def rows_on_part(part: Part, work: Work) -> Array:
    """Return the rows that the work makes of one part."""
    part = part.single() if work.in_single else part  # type: ignore[assignment]
    with one_blas_thread(), np.errstate(over="ignore", invalid="ignore"):
        return work.work(part, *work.arguments)


def added(terms: Sequence[tuple[float, Array | None]]) -> tuple[float, Array | None]:
    """Return the sums of the values and of the arrays, in their order; the terms are not changed."""
    values, arrays = zip(*terms)
    if arrays[0] is None:
        return sum(values), None
    total = arrays[0].copy()
    for array in arrays[1:]:
        total += array
    return sum(values), total


def stacked(rows: Sequence[Array]) -> Array:
    """Return the arrays stacked by rows; they and the result are in Fortran order."""
    return np.concatenate([each.T for each in rows], axis=1).T


class DistributedObjective(BaseObjective):
    """J(theta) on parts that are delayed objects of dask: parameters are sent to the parts, and only sums return.

    Every sum over the parts is taken in a tree whose shape depends only on their number, so that it is the same to the
    last bit whatever runs the tasks and whichever part finishes first.

    Parameters
    ----------
    network : Network
        The net and its loss.
    parts : sequence of dask.delayed.Delayed
        The `Part` of each chunk.
    n_samples : int
        Total number of samples.
    total_weight : float
        The sum of their weights.
    alpha : float or ndarray of shape (n_params,)
        L2 penalty, as of `Objective`.
    dtype : dtype
        Type of the parameters and of all sums.
    """

    def __init__(
        self,
        network: Network,
        parts: Sequence[Any],
        n_samples: int,
        total_weight: float,
        alpha: Any,
        dtype: DTypeLike,
    ):
        if not total_weight:
            raise ValueError("`sample_weight` must be positive for some sample; got zeros only")
        self.network, self.parts, self.alpha = network, parts, alpha
        self.n_samples, self.n_params = n_samples, network.n_params
        self.total_weight, self.dtype = total_weight, np.dtype(dtype)
        self.penalties = self._penalties_of(alpha)
        self._single: DistributedObjective | None = None
        self._in_single = False
        self.memo: dict[Any, Any] = {}

    def __getattr__(self, name: str) -> Any:
        """Raise an AttributeError that says how to reach the samples, for code that expects an `Objective`."""
        raise AttributeError(
            f"an objective on a dask array has no `{name}`, since its samples lie in parts; call "
            "`over_parts(work, out, *arguments)` of qnewton_sk.nets.BaseObjective"
        )

    def over_parts(self, work: Callable[..., float], out: Array | None = None, *arguments: Any) -> float:
        """Call ``work(part, out, *arguments)`` where each part lies, and return the sum."""
        shape = None if out is None else out.shape
        first = None if out is None or not out.any() else (0.0, out)
        call = Work(work, arguments, shape, self._in_single)
        value, total = tree(add_on_part, self.parts, call, added, first)
        if out is not None:
            out[...] = total
        return value

    def rows_of_parts(self, make: Callable[..., Array], *arguments: Any) -> Array:
        """Return the arrays ``make(part, *arguments)`` of all parts, stacked by rows."""
        return tree(rows_on_part, self.parts, Work(make, arguments, None, self._in_single), stacked)

    def batch(self, indices: Array) -> BaseObjective:
        """Raise NotImplementedError, since the rows of a mini-batch would have to be drawn from all chunks."""
        raise NotImplementedError("mini-batches are not drawn from data in parts")

    def single(self) -> "DistributedObjective":
        """Return the same objective in single precision, on the same parts."""
        if self._single is None:
            other = copy.copy(self)
            other._in_single, other.dtype, other.memo = True, np.dtype(np.float32), {}
            other.penalties = self.penalties.astype(np.float32)
            self._single = other
        return self._single
