"""Faults of a user's function, as errors that name the parameter and a remedy."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class FunctionFault(ValueError):
    """A function that the user has passed cannot be minimised.

    Attributes
    ----------
    result : scipy.optimize.OptimizeResult or None
        The result up to the last good parameters, if the fault occurred during a run.
    """

    result: Any = None


NUMPY_ADVICE = (
    "Let it use autograd.numpy (`import autograd.numpy as np`) and autograd.scipy, "
    "and not write to arrays in place"
)


TWICE = ' twice for this curvature (first derivatives are enough for "empirical_fisher")'


def name_of(function: Any) -> str:
    """Return the name of a callable, which need not have one."""
    return getattr(function, "__name__", type(function).__name__)


@contextmanager
def evaluating(function: Any, times: str = "") -> Iterator[None]:
    """Turn exceptions of `fun` or its derivatives into a `FunctionFault`; `times` goes into the message."""
    try:
        yield
    except (FunctionFault, MemoryError):
        raise
    except Exception as error:
        raise FunctionFault(
            f"`fun` must be a function that autograd can differentiate{times}; {name_of(function)} raised "
            f"{type(error).__name__}: {error}. {NUMPY_ADVICE}"
        ) from error


def check_outputs(outputs: Any, function: Any, n_samples: int | None, has_loss: bool) -> None:
    """Raise `FunctionFault` unless the outputs of `fun` have the expected shape.

    Parameters
    ----------
    outputs : array or box of autograd
        What `fun` has returned.
    function : callable
        The function.
    n_samples : int or None
        Number of samples; None if there is no data.
    has_loss : bool
        Whether the outputs are passed to a loss; otherwise they are losses.
    """
    shape: Any = getattr(outputs, "shape", None)
    if isinstance(outputs, float | int):
        shape = ()
    if n_samples is None:
        good, expected = shape == (), "a number, since `data` is empty"
    elif has_loss:
        good = shape is not None and len(shape) in (1, 2) and shape[0] == n_samples
        expected = f"outputs of shape ({n_samples},) or ({n_samples}, n_outputs), since {n_samples} samples are given"
    else:
        good = shape == (n_samples,)
        expected = f"one loss per sample, shape ({n_samples},)"
    if not good:
        got = f"shape {shape}" if shape is not None else repr(type(outputs).__name__)
        raise FunctionFault(f"`fun` must return {expected}; got {got} from {name_of(function)}")
