"""The training objective: the mean loss of a net on fixed data plus the L2 penalty, with its gradient.

J(theta) = sum_n w_n loss_n + alpha / (2 sum_n s_n) sum_l ||W_l||^2 with w_n = s_n / sum_n s_n, as scikit-learn's MLP.
The weights w enter through delta_L and the loss's Hessian alone; everything further back is linear in them. The shapes
and the order of the parameters are those of `qnewton_sk.nets.network`.
"""

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse

from qnewton_sk.machine import Workspace, even_slices, run_tasks, threads_for, workspaces_of

from .base_objective import BaseObjective
from .inputs import with_ones
from .loss import Loss
from .network import Network
from .passes import Pass, add_gradient

Array = NDArray[Any]

CHUNK_BYTES = 2**28
"""Memory for the passes of all the samples; if they need more, they are computed again whenever they are needed."""

CACHE_BYTES = 2**24
"""Memory for the activations of one chunk of samples: half of a usual last-level cache, so that the elementwise passes
over them need not go to memory."""

INPUT_BYTES = 2**31
"""Memory up to which the inputs of the first layer are kept, a copy of X with units first: every pass needs them."""

MIN_SINGLE_SIZE = 2**12
"""Samples times units from which on a gradient in single precision takes at most three quarters of the time; below, the
calls of Python are most of it."""

PARTIAL_SUMS = 8
"""Number of partial gradients that are added up in the end. It, and not the number of threads, says which chunks are
added to which, so that losses and gradients are the same to the last bit on any number of threads."""


class Objective(BaseObjective):
    """J(theta) on data in this process: value, gradient and passes, as sums over chunks of samples.

    It holds X and one copy of it, `Pass.inputs`; nothing in it refers back to it, so that its arrays are freed with it.

    Parameters
    ----------
    network : Network
        The net and its loss.
    X : ndarray or sparse array of shape (n, h_0)
        Inputs.
    targets : ndarray of shape (n, K)
        Encoded targets.
    weight : ndarray of shape (n,), default=None
        Nonnegative weights of the samples, not all zero; by default all one.
    alpha : float or ndarray of shape (n_params,), default=0.0
        L2 penalty on the weights of the layers; an array holds the penalty of each parameter, intercepts included.
    chunk_bytes : int, default=CHUNK_BYTES
        Memory for the passes of all the samples, in bytes.
    dtype : dtype, default=None
        The precision of everything, float32 or float64; by default that of X.
    input_bytes : int, default=INPUT_BYTES
        Memory up to which the inputs of the first layer are kept, in bytes.
    total_weight : float, default=None
        The sum of the weights of all samples, if these are only some of them; by default the sum of `weight`.
    share : float, default=1.0
        Share of the memory budgets that this objective may use, if these are only some of the samples. How the samples
        are cut into chunks does not depend on it.

    Attributes
    ----------
    memo : dict
        What follows from X alone, and memory to work in; the curvature keeps it here from step to step.

    Raises
    ------
    ValueError
        If the weights are all zero.

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.nets import Network, Objective, resolve_loss
    >>> network = Network((1, 1), [], resolve_loss("squared_error"))
    >>> objective = Objective(network, np.array([[1.0], [2.0]]), np.array([[2.0], [4.0]]))
    >>> value, gradient = objective.value_and_grad(np.array([1.0, 0.0]))
    >>> value, gradient.tolist()
    (1.25, [-2.5, -1.5])
    """

    def __init__(
        self,
        network: Network,
        X: Any,
        targets: Array,
        weight: Array | None = None,
        alpha: Any = 0.0,
        chunk_bytes: int = CHUNK_BYTES,
        dtype: DTypeLike | None = None,
        input_bytes: int = INPUT_BYTES,
        total_weight: float | None = None,
        share: float = 1.0,
    ):
        if sparse.issparse(X) and X.shape[0] * X.shape[1] * X.dtype.itemsize <= chunk_bytes * share:
            X = X.toarray()  # dense products are faster if there is room for them
        self.network, self.X, self.targets = network, X, np.asfortranarray(targets)
        self.weight, self.alpha, self.chunk_bytes, self.input_bytes = weight, alpha, chunk_bytes, input_bytes
        self.n_samples, self.n_params = X.shape[0], network.n_params
        self.dtype = X.dtype if dtype is None else np.dtype(dtype)
        self.share = share
        total = total_weight
        if total is None:
            total = float(self.n_samples if weight is None else weight.sum(dtype=float))
        if not total:
            raise ValueError(
                "`sample_weight` must be positive for some sample of every batch; got zeros only"
            )
        self.total_weight = total
        self._weight = 1.0 / total if weight is None else (weight.astype(float) / total).astype(self.dtype)
        self._slices = self._cut()
        self._inputs: list[Any] = [None] * len(self._slices)
        self._last: Any = None
        self._single: Objective | None = None
        self.memo: dict[Any, Any] = {}
        self.penalties = self._penalties_of(alpha)

    def _cut(self) -> list[slice]:
        per_sample = 6 * self.dtype.itemsize * (sum(self.network.widths[1:]) + 1)
        if not self.keeps_inputs:  # a pass then holds a copy of its own
            per_sample += self.dtype.itemsize * (self.network.widths[0] + 1)
        self._keeps_passes = per_sample * self.n_samples <= self.chunk_bytes * self.share
        size = max(min(self.n_samples, int(min(CACHE_BYTES, self.chunk_bytes) // per_sample)), 1)
        return even_slices(self.n_samples, -(-self.n_samples // size))

    @property
    def n_chunks(self) -> int:
        """The number of chunks that the samples are cut into."""
        return len(self._slices)

    @property
    def keeps_inputs(self) -> bool:
        """Whether the inputs of the first layer are kept from pass to pass."""
        return self.X.shape[0] * self.X.shape[1] * self.dtype.itemsize <= self.input_bytes * self.share

    def _chunk_inputs(self, index: int) -> Any:
        """Return abar_0 of a chunk."""
        if self._inputs[index] is not None:
            return self._inputs[index]
        inputs = with_ones(self.X[self._slices[index]], self.dtype)
        if self.keeps_inputs:
            self._inputs[index] = inputs
        return inputs

    def batch(self, indices: Array) -> "Objective":
        """Return the objective on some of the samples, normalised by their weights."""
        weight = None if self.weight is None else self.weight[indices]
        alpha = self.alpha
        if self.shares_penalty:
            total = len(indices) if weight is None else weight.sum(dtype=float)
            alpha = np.asarray(alpha) * (total / self.total_weight)
        same = alpha, self.chunk_bytes, self.dtype, self.input_bytes
        return Objective(self.network, self.X[indices], self.targets[indices], weight, *same)

    def with_loss(self, loss: Loss, targets: Array) -> "Objective":
        """Return the objective of another loss of the same outputs, with other targets, which shares X and its copy."""
        other = copy.copy(self)
        other.network = Network(self.network.widths, self.network.activations, loss)
        other.targets = np.asfortranarray(targets)
        other._last, other._single = None, None
        return other

    def single(self) -> "Objective":
        """Return the same objective in single precision, made once; its samples are cut into the same chunks.

        It shares X, and keeps the inputs of its first layer only if they fit into the memory for the passes. Numbers
        that exceed single precision become infinite.
        """
        if self._single is None:
            with np.errstate(over="ignore"):
                targets = self.targets.astype(np.float32)
            same = self.weight, self.alpha, self.chunk_bytes, np.float32, self.chunk_bytes
            whole = self.total_weight, self.share
            self._single = type(self)(self.network, self.X, targets, *same, *whole)
            self._single._slices, self._single._inputs = self._slices, [None] * self.n_chunks
        return self._single

    @property
    def is_faster_in_single(self) -> bool:  # type: ignore[override]
        """Whether gradients take clearly less time in single precision, by the number of operations.

        Inputs that are sparse or not kept would be converted for every gradient, and functions of a user may not work.
        """
        if self.dtype != np.float64 or sparse.issparse(self.X) or not self.network.is_built_in:
            return False
        kept = self.keeps_inputs and 4 * self.X.shape[0] * self.X.shape[1] <= self.chunk_bytes * self.share
        return kept and self.n_samples * sum(self.network.widths[1:]) >= MIN_SINGLE_SIZE

    def _at(self, theta: Array) -> Any:
        """Return the passes at theta, None for those still to be done; they are kept if there is room."""
        if self._has_passes_at(theta):
            return self._last
        self._last = None  # the old passes are freed before the new ones are made
        theta = theta.copy()
        found = theta, self.network.layers(theta), [None] * len(self._slices)
        if self._keeps_passes:
            self._last = found
        return found

    def _has_passes_at(self, theta: Array) -> bool:
        # the first parameters differ nearly always if any do, and to compare them costs a fifth
        last = self._last
        return last is not None and last[0].item(0) == theta.item(0) and bool((last[0] == theta).all())

    def _samples(self, index: int) -> tuple[Any, Array, Any]:
        """Return inputs, targets and weights of a chunk."""
        rows = self._slices[index]
        weight = self._weight[rows] if isinstance(self._weight, np.ndarray) else self._weight
        return self._chunk_inputs(index), self.targets[rows], weight

    def _pass(self, index: int, found: Any, workspace: Workspace | None = None) -> Pass:
        _, layers, passes = found
        if passes[index] is not None:
            return passes[index]
        start = self._slices[index].start
        p = Pass.forward(self.network, layers, *self._samples(index), start, workspace)
        if self._keeps_passes:
            passes[index] = p
        return p

    def over_chunks(
        self,
        theta: Array,
        work: Callable[[Pass, Any], float],
        out: Array | None = None,
        chunks: range | None = None,
        transient: bool = False,
    ) -> float:
        """Call ``work(pass, part)`` for every chunk, on several threads if that is worth it.

        Parameters
        ----------
        theta : ndarray of shape (n_params,)
            The parameters.
        work : callable
            ``work(pass, part) -> float``; `part` is an array like `out`, for the chunk to add to.
        out : ndarray, default=None
            The array to which all that was added to the parts is added in the end; None if there are no parts.
        chunks : range, default=None
            The chunks, by number; by default all.
        transient : bool, default=False
            Whether `work` keeps nothing of a pass. Passes that are not kept here either then share their memory.

        Returns
        -------
        float
            The sum of what `work` has returned.
        """
        chunks = range(self.n_chunks) if chunks is None else chunks
        found = self._at(theta)
        shared = transient and not self._keeps_passes

        def on_chunk(index: int, part: Any, workspace: Workspace | None) -> float:
            return work(self._pass(index, found, workspace), part)

        if self.n_chunks == 1 and len(chunks) == 1:
            return on_chunk(0, out, None)
        memory = [Workspace(self.dtype) if shared else None for _ in range(threads_for(self._flops(chunks)))]
        return self._summed(on_chunk, out, chunks, memory)

    def add_gradient(self, theta: Array, out: Array) -> float:
        """Add the gradient of the loss, without penalty, to `out` of shape (n_params,), and return the loss.

        Passes that are kept at theta are used. Otherwise nothing is kept: what follows is nearly always another
        gradient elsewhere, and steps by the curvature begin where a trial has left its passes.
        """
        if self._has_passes_at(theta):
            return self.over_chunks(theta, _value_and_gradient, out)
        self._last, layers = None, self.network.layers(theta)

        def on_chunk(index: int, part: Any, workspace: Workspace) -> float:
            return add_gradient(self.network, layers, *self._samples(index), part, workspace)

        if self.n_chunks == 1:
            return on_chunk(0, out, workspaces_of(self, 1)[0])
        chunks = range(self.n_chunks)
        return self._summed(on_chunk, out, chunks, workspaces_of(self, threads_for(self._flops(chunks))))

    def _summed(
        self, on_chunk: Callable[..., float], out: Array | None, chunks: range, memory: list[Any]
    ) -> float:
        """Return the sum of ``on_chunk(index, part, workspace)``; the parts are added to `out`."""
        if not chunks:
            return 0.0
        groups = even_slices(len(chunks), min(len(chunks), PARTIAL_SUMS))
        parts = [None if out is None else np.zeros_like(out) for _ in groups]
        values = [0.0] * len(groups)

        def task(group: int, workspace: Workspace | None) -> None:
            for index in chunks[groups[group]]:
                values[group] += on_chunk(index, parts[group], workspace)

        run_tasks([partial(task, group) for group in range(len(groups))], memory, self._flops(chunks))
        for part in parts:
            if out is not None:
                out += part
        return sum(values)

    def _flops(self, chunks: range) -> float:
        return 6.0 * self.n_samples * self.n_params * len(chunks) / self.n_chunks

    def over_parts(self, work: Callable[..., float], out: Array | None = None, *arguments: Any) -> float:
        """Return ``work(self, out, *arguments)``: all the data are one part."""
        return work(self, out, *arguments)

    def rows_of_parts(self, make: Callable[..., Array], *arguments: Any) -> Array:
        """Return ``make(self, *arguments)``."""
        return make(self, *arguments)

    def kept_for(self, owner: dict[Any, Any]) -> dict[Any, Any]:
        """Return where a curvature keeps what it needs again: with itself, so that it is freed with it."""
        return owner

    def passes(self, theta: Array) -> Iterator[Pass]:
        """Yield the `Pass` of every chunk, after its backward pass."""
        found = self._at(theta)
        for index in range(self.n_chunks):
            with np.errstate(over="ignore", invalid="ignore"):
                p = self._pass(index, found)
                p.backward()
            yield p


def _value_and_gradient(p: Pass, out: Array) -> float:
    value = p.value()
    p.gradient(out)
    return value
