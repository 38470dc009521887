"""Gradients per sample as rows of a matrix: from one pass if the linear layers allow it, else sample by sample."""

import weakref
from collections.abc import Callable
from typing import Any

import autograd.numpy as anp
import numpy as np
from numpy.typing import NDArray

from qnewton_sk.nets import SampleGradients, sample_gradients
from qnewton_sk.systems import MatrixCache

from .faults import FunctionFault
from .objective import AutogradObjective

Array = NDArray[Any]

KEPT_BYTES = 2**28
"""Maximum memory of the gradients of all parameters that are kept from a loop over samples for use by all blocks; if
they need more, the loop runs again for every block."""


MAX_FACTOR_BYTES = 2**31
"""Maximum memory of the gradients per sample of all blocks of a step, in bytes. A block that exceeds it by itself
uses products and entries instead. The limit does not depend on the machine, so that runs are the same everywhere."""


def sample_rows(objective: AutogradObjective, theta: Array, part: slice, roots: Array) -> Array:
    """Return the rows J_n^T root_n of every sample, for several roots.

    Parameters
    ----------
    objective : AutogradObjective
        The function and the data.
    theta : ndarray of shape (n_params,)
        The point.
    part : slice
        The parameters of the columns, which are those of whole arrays.
    roots : ndarray of shape (m, n, K)
        Factors on the outputs of each sample.

    Returns
    -------
    ndarray of shape (m * n, size of the part)
        The rows of one root are adjacent.
    """
    rows = np.empty((len(roots), objective.n_samples, part.stop - part.start), objective.dtype)
    if not (is_recorded(objective, theta, part) and _by_layers(objective, theta, part, roots, rows)):
        _by_loop(objective, theta, part, roots, rows)
    return rows.reshape(-1, rows.shape[2])


def is_recorded(objective: AutogradObjective, theta: Array, part: slice) -> bool:
    """Return whether all arrays of a part are used only as weights and biases of `linear_layer`.

    The answer is determined once, with two samples.
    """
    memo = objective.problem.memo
    if "recorded" not in memo:
        small = objective.batch(np.arange(min(2, objective.n_samples))) if objective.data else objective
        found = _recorded(small, theta, np.ones((small.n_samples, 1)), slice(0, small.n_samples))
        memo["recorded"] = frozenset() if found is None else frozenset(path[0] for path in found)
    return memo["recorded"].issuperset(objective.layout.leaves_in(part))


def _recorded(objective: AutogradObjective, theta: Array, root: Array, rows: slice) -> SampleGradients | None:
    """Return gradients per sample by the index of the leaf, or None if linear layers do not give them all."""
    layout, problem = objective.layout, objective.problem

    def losses(arrays: Any, root: Array, *data: Any) -> Any:
        return anp.sum(root * problem.outputs(layout.nest(arrays), data), axis=1)

    arrays = [theta[leaf.part].reshape(leaf.shape) for leaf in layout.leaves]
    data = tuple(part[rows] for part in objective.data)
    _count(objective)
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return sample_gradients(losses, arrays, root, *data)[2]
    except FunctionFault:
        raise
    except (
        ValueError
    ):  # a weight is used outside of the linear layers too, or samples are not along the first axis
        return None


def _by_layers(objective: AutogradObjective, theta: Array, part: slice, roots: Array, out: Array) -> bool:
    """Fill `out` by one backward pass per root and chunk; return False if the use of a layer does not allow that."""
    leaves = objective.layout.leaves_in(part)
    for rows in objective.chunks:
        for root, target in zip(roots, out):
            found = _kept_recording(objective, theta, root, rows)
            if found is None:
                return False
            for k in leaves:
                place = objective.layout.leaves[k].part
                target[rows, place.start - part.start : place.stop - part.start] = found[k,]
    return True


def _kept_recording(
    objective: AutogradObjective, theta: Array, root: Array, rows: slice
) -> SampleGradients | None:
    """Return the recording of a root, shared by the blocks at one point; it holds activations, and no gradients."""
    last = objective.last_recording
    if last is not None and last[0] == rows and _equal(last[1], (theta, root)):
        return last[2]
    found = _recorded(objective, theta, root[rows], rows)
    objective.last_recording = (rows, (theta, root), found)
    return found


def _equal(arrays: Any, others: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(arrays, others))


def _by_loop(objective: AutogradObjective, theta: Array, part: slice, roots: Array, out: Array) -> None:
    """Fill `out` sample by sample."""
    size = objective.layout.first_order.start
    if roots.shape[0] * objective.n_samples * size * objective.dtype.itemsize > KEPT_BYTES:
        _fill(objective, theta, part, roots, out)
        return
    last = objective.last_loop
    if last is None or not _equal(last[:2], (theta, roots)):
        rows = np.empty((*roots.shape[:2], size), objective.dtype)
        _fill(objective, theta, slice(0, size), roots, rows)
        objective.last_loop = last = (theta, roots, rows)
    out[:] = last[2][:, :, part]


def _fill(objective: AutogradObjective, theta: Array, part: slice, roots: Array, out: Array) -> None:
    _count(objective)
    for n in range(objective.n_samples):
        row = slice(n, n + 1)
        tape = objective.tape(theta, row)
        for root, target in zip(roots, out):
            target[n] = tape.pull(root[row])[part]


def _count(objective: AutogradObjective) -> None:
    objective.problem.counts.functions += 1
    objective.problem.counts.gradients += 1


class FactorMemory:
    """The factors of a step that exist; the oldest are dropped before their total exceeds `MAX_FACTOR_BYTES`."""

    def __init__(self) -> None:
        self._held: list[weakref.ref[Factor]] = []

    def make_room(self, n_bytes: int) -> None:
        """Drop factors until `n_bytes` more fit in."""
        held = [factor for reference in self._held if (factor := reference()) is not None]
        while held and n_bytes + sum(factor.n_bytes for factor in held) > MAX_FACTOR_BYTES:
            held.pop(0).drop()
        self._held = [weakref.ref(factor) for factor in held]

    def add(self, factor: "Factor") -> None:
        """Register a factor that has been computed."""
        self._held.append(weakref.ref(factor))


class Factor:
    """The gradients per sample G of one block, computed when they are first asked for.

    Parameters
    ----------
    objective, theta, part
        As of `sample_rows`.
    roots_at : callable
        ``roots_at() -> roots``, as of `sample_rows`.
    memory : FactorMemory
        The memory of the step.

    Attributes
    ----------
    held : ndarray or None
        G if it exists.
    cache : MatrixCache or None
        Cache of the matrix, which holds G too.
    """

    def __init__(
        self,
        objective: AutogradObjective,
        theta: Array,
        part: slice,
        roots_at: Callable[[], Array],
        memory: FactorMemory,
    ):
        self.objective, self.theta, self.part, self.roots_at = objective, theta, part, roots_at
        self.memory = memory
        self.held: Array | None = None
        self.cache: MatrixCache | None = None

    @property
    def n_bytes(self) -> int:
        """The memory in use."""
        return 0 if self.held is None else self.held.nbytes

    def array(self) -> Array:
        """Return G."""
        if self.held is None:
            roots = self.roots_at()
            columns = self.part.stop - self.part.start
            self.memory.make_room(roots.shape[0] * roots.shape[1] * columns * self.objective.dtype.itemsize)
            self.held = sample_rows(self.objective, self.theta, self.part, roots)
            self.memory.add(self)
        return self.held

    def product(self, v: Array) -> Array:
        """Return (G^T G + penalty) v; the matrix then counts G as computed."""
        if self.cache is not None and self.cache.factor is None:
            self.cache.factor = self.cache.timed(self.array)
        G = self.array()
        return G.T @ (G @ v) + self.objective.penalties[self.part] * v

    def drop(self) -> None:
        """Free G; it is computed again when it is next needed."""
        self.held = None
        if self.cache is not None:
            self.cache.factor = None
