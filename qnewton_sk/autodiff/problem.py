"""The objective made from the arguments of `minimize`, with checks of the data, the loss and the function."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from qnewton_sk.machine import ALWAYS_AVAILABLE_BYTES, available_memory_bytes, gibibytes, step_bytes
from qnewton_sk.nets import LogisticCrossEntropy, Loss, SoftmaxCrossEntropy, resolve_loss
from qnewton_sk.systems import is_int, must

from .faults import NUMPY_ADVICE, FunctionFault, name_of
from .layout import Layout
from .objective import AutogradObjective, Problem
from .tape import GivenLosses

Array = NDArray[Any]

CLASSIFICATION_LOSSES = {loss.name: loss for loss in (SoftmaxCrossEntropy, LogisticCrossEntropy)}


def objective_of(
    fun: Callable[..., Any],
    layout: Layout,
    data: Any,
    loss: Any,
    alpha: Any,
    chunk_size: Any,
) -> AutogradObjective:
    """Return the objective for checked arguments of `minimize`, without calling the function.

    Raises
    ------
    ValueError
        If an argument is not as documented in `minimize`.
    """
    if not callable(fun):
        raise must("fun", "be a function fun(params, *data)", fun)
    arrays = _checked_data(data)
    targets = None
    if loss is None:
        resolved: Loss = GivenLosses()
    else:
        resolved, targets, arrays = _resolved_loss(loss), *_targets_of(arrays)
    if chunk_size is not None and not (is_int(chunk_size) and chunk_size >= 1):
        raise must("chunk_size", "be None (all samples at once) or an int >= 1", chunk_size)
    penalties = layout.spread("alpha", alpha)
    size = None if chunk_size is None else int(chunk_size)
    return AutogradObjective(Problem(fun, layout, resolved, penalties, size), arrays, targets)


def _checked_data(data: Any) -> tuple[Any, ...]:
    """Return the data as a tuple of arrays with equally many samples."""
    parts = data if isinstance(data, tuple) else (data,)
    arrays = tuple(part.tocsr() if sparse.issparse(part) else np.asarray(part) for part in parts)
    lengths = [part.shape[0] if part.ndim else None for part in arrays]
    if len(set(lengths)) > 1 or None in lengths or 0 in lengths:
        raise ValueError(
            "`data` must be a tuple of arrays with one entry per sample along the first axis; got shapes "
            f"{[part.shape for part in arrays]}. Let `fun` close over what is not one per sample"
        )
    return arrays


def _resolved_loss(loss: Any) -> Loss:
    if isinstance(loss, str) and loss in CLASSIFICATION_LOSSES:
        return CLASSIFICATION_LOSSES[loss]()
    try:
        return resolve_loss(loss)
    except ValueError as error:
        names = sorted(CLASSIFICATION_LOSSES)
        raise ValueError(f"{error}; for classes, one of {names}, or None if `fun` returns losses") from None


def _targets_of(arrays: tuple[Any, ...]) -> tuple[Array, tuple[Any, ...]]:
    """Return the last array of the data as targets (n, K), and the other arrays."""
    if len(arrays) < 2:
        raise ValueError(
            "`data` must hold the inputs of `fun` and, last, the targets of `loss`, one per sample; got "
            f"{len(arrays)} arrays"
        )
    *inputs, y = arrays
    if not isinstance(y, np.ndarray) or y.ndim > 2 or y.dtype.kind not in "fiub" or not np.isfinite(y).all():
        raise ValueError(
            "`data` must end with the targets of `loss`: finite numbers of shape (n_samples,) or (n_samples, "
            "n_outputs), classes one-hot (numpy.eye(n_classes)[labels])"
        )
    return y.reshape(len(y), -1).astype(float), tuple(inputs)


def check_function(objective: AutogradObjective) -> None:
    """Call the function and its gradient at the start, so that faults are reported before any work.

    Raises
    ------
    FunctionFault
        If the function fails, returns a wrong shape or a value that is not finite, or does not depend on its
        parameters through autograd.
    """
    theta, function = objective.layout.start, objective.problem.function
    if objective.targets is not None:
        _check_targets(objective)
    for tape in objective.tapes(theta):
        fault = tape.fault_at_start()
        if fault is not None:
            raise fault
        objective.problem.counts.functions += 1
        if not tape.depends_on_parameters:
            raise FunctionFault(
                f"`fun` must depend on its parameters through autograd.numpy; {name_of(function)} does not. "
                f"{NUMPY_ADVICE}"
            )
        break
    value, _ = objective.value_and_grad(theta)
    if not np.isfinite(value):
        raise FunctionFault(
            f"`fun` must have a finite mean at `x0`; got {value} from {name_of(function)}. Start from another `x0`"
        )


def _check_targets(objective: AutogradObjective) -> None:
    """Raise ValueError unless the targets have the shape of the outputs, and values for which the loss is defined."""
    targets = objective.targets
    z = next(objective.tapes(objective.layout.start)).z
    if z.shape[1] != targets.shape[1]:
        raise ValueError(
            f"`data` must end with targets of the shape of the outputs of `fun`, {z.shape[1]} per sample; got "
            f"{targets.shape[1]}. Classes are one-hot (numpy.eye(n_classes)[labels])"
        )
    loss = objective.loss
    if targets.min() < loss.min_target:
        raise ValueError(
            f"`data` must end with targets >= {loss.min_target} for loss={loss.name!r}; got {targets.min()}"
        )
    if isinstance(loss, SoftmaxCrossEntropy | LogisticCrossEntropy) and not (
        0 <= targets.min() <= targets.max() <= 1
    ):
        raise ValueError(
            f"`data` must end with targets in [0, 1] for loss={loss.name!r}; got {targets.min()} to {targets.max()}. "
            "Classes are one-hot (numpy.eye(n_classes)[labels])"
        )


def check_memory(layout: Layout, entries_needed_by: str | None) -> None:
    """Refuse parameters whose vectors, or whose matrix if entries are needed, exceed the available memory.

    Raises
    ------
    ValueError
        If the memory does not suffice; the message says how much is needed and which settings avoid it.
    """
    itemsize, order = layout.dtype.itemsize, max(part.stop - part.start for part in layout.parts)
    vectors, matrix = step_bytes(layout.n_params, order, itemsize, has_entries=entries_needed_by is not None)
    if vectors + matrix < ALWAYS_AVAILABLE_BYTES:
        return
    available = available_memory_bytes()
    if vectors > available:
        raise ValueError(
            f"`x0` must fit into memory; got {layout.n_params:,} parameters, whose vectors need "
            f"{gibibytes(vectors)} of {gibibytes(available)} available. Use a smaller model"
        )
    if vectors + matrix > available:
        raise ValueError(
            f"`x0` must give matrices that fit into memory, since {entries_needed_by} needs their entries; got "
            f"{order:,} unknowns in one system, which need {gibibytes(matrix)} of {gibibytes(available)} available. "
            'Use partition="layer" or groups, name the largest arrays in `first_order`, or take scheduler="auto" or '
            '"classical" without pruning, whose conjugate gradients need no matrix'
        )
