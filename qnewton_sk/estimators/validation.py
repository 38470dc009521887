"""Checks of what a user passes: settings of an estimator, its own functions, and the memory that they need."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from functools import wraps
from numbers import Real
from typing import ParamSpec

import numpy as np

from qnewton_sk.machine import ALWAYS_AVAILABLE_BYTES, available_memory_bytes, gibibytes, step_bytes
from qnewton_sk.systems import is_bool, is_int, is_real, must

from .bayes import AUTO, EVIDENCE
from .checkpoint import check_checkpoint

P = ParamSpec("P")

ABSENT_FROM_HERE = {
    "solver": "every fit is by Newton's method; `scheduler` says which solvers of linear systems may be chosen",
    "max_fun": "the number of steps is bounded by `max_iter` alone",
    **dict.fromkeys(("learning_rate", "power_t"), "`step_control` finds the length of each step"),
    **dict.fromkeys(
        ("momentum", "nesterovs_momentum"), "it belongs to SGD, and every fit is by Newton's method"
    ),
    **dict.fromkeys(
        ("beta_1", "beta_2", "epsilon"), "it belongs to Adam, and every fit is by Newton's method"
    ),
}
"""Parameters of MLPClassifier and MLPRegressor that the estimators here do not have, with the reason."""


def explains_absent_parameters(init: Callable[P, None]) -> Callable[P, None]:
    """Return the same constructor, whose TypeError for a parameter that only scikit-learn's MLP has says what to do.

    The signature stays the explicit one, which `get_params`, `clone` and the HTML view read.
    """

    @wraps(init)
    def constructor(*args: P.args, **kwargs: P.kwargs) -> None:
        for name in kwargs:
            if name in ABSENT_FROM_HERE:
                raise TypeError(
                    f"`{name}` is no parameter of {type(args[0]).__name__}: {ABSENT_FROM_HERE[name]}. Leave it out; "
                    "qnewton_sk.from_mlp(estimator) takes over what an MLPClassifier or MLPRegressor has in common"
                )
        init(*args, **kwargs)

    return constructor


def _int_from(low):
    return lambda v: is_int(v) and v >= low


def _real_from(low):
    return lambda v: is_real(v) and v >= low


def _is_seed(value):
    return is_int(value) and 0 <= value < 2**32


def _are_class_weights(value):
    weights = list(value.values()) if isinstance(value, Mapping) else []
    return any(weights) and all(is_real(weight) and weight >= 0 for weight in weights)


_BOOL = (is_bool, "be True or False")

_SIMPLE = {
    "alpha": (
        lambda v: v in (AUTO, *EVIDENCE) if isinstance(v, str) else _real_from(0)(v),
        'be a finite number >= 0, "auto", "evidence" (one penalty per layer, found in the fit) or "evidence_per_input"',
    ),
    "posterior": (
        lambda v: v is None or (isinstance(v, str) and v in ("full", "layer", "last_layer")),
        'be None, "full" (all parameters), "layer" (layers independent) or "last_layer" (the last layer only)',
    ),
    "partition": (
        lambda v: isinstance(v, str) and v in ("full", "layer"),
        'be "full" (one system for all parameters) or "layer" (one system per layer)',
    ),
    "regularization": (_real_from(0), "be a finite number >= 0"),
    "oracle_sparsity": (
        lambda v: v is None or (is_int(v) and v >= 1) or (is_real(v) and not is_int(v) and 0 < v <= 1),
        "be None (no pruning), an int >= 1 (entries kept in a row) or a float in (0, 1] (share of them)",
    ),
    "learning_rate_init": (lambda v: is_real(v) and v > 0, "be a finite number > 0"),
    "first_order_steps": (_int_from(0), "be an int >= 0"),
    "batch_size": (
        lambda v: (isinstance(v, str) and v == "auto") or (is_int(v) and v >= 1),
        'be "auto" (all samples) or an int >= 1',
    ),
    "max_iter": (_int_from(1), "be an int >= 1"),
    "tol": (_real_from(0), "be a finite number >= 0"),
    "n_iter_no_change": (
        lambda v: _int_from(1)(v) or (isinstance(v, Real) and v == np.inf),
        "be an int >= 1 or numpy.inf",
    ),
    "early_stopping": _BOOL,
    "validation_fraction": (lambda v: is_real(v) and 0 < v < 1, "be a float in (0, 1)"),
    "diagnostics": (
        lambda v: is_bool(v) or (isinstance(v, str) and v == "auto"),
        'be True, False or "auto"',
    ),
    "random_state": (
        lambda v: v is None or v is np.random or isinstance(v, np.random.RandomState) or _is_seed(v),
        "be None, an int in [0, 2**32) or a numpy.random.RandomState",
    ),
    "warm_start": _BOOL,
    "shuffle": _BOOL,
    "verbose": (
        lambda v: is_bool(v) or _int_from(0)(v),
        "be True, False or an int >= 0",
    ),
    "class_weight": (
        lambda v: v is None or (isinstance(v, str) and v == "balanced") or _are_class_weights(v),
        'be None, "balanced" or a dict from label to weight, finite and >= 0, not all zero',
    ),
    "n_jobs": (lambda v: v is None or (is_int(v) and v != 0), "be None or an int other than 0"),
}
"""Whether a value will do, and what it must be."""


def check_parameters(parameters):
    """Check the settings that need no other knowledge; the rest is checked where it is resolved.

    Parameters
    ----------
    parameters : mapping of str to object
        Settings of an estimator by name.

    Raises
    ------
    ValueError
        Naming the parameter, what it must be and what it is.

    Examples
    --------
    >>> from qnewton_sk.estimators.validation import check_parameters
    >>> check_parameters({"regularization": -1.0})
    Traceback (most recent call last):
        ...
    ValueError: `regularization` must be a finite number >= 0; got -1.0
    """
    for name, (holds, expected) in _SIMPLE.items():
        if name in parameters and not holds(parameters[name]):
            raise must(name, expected, parameters[name])
    check_checkpoint(parameters.get("checkpoint"))


def check_hidden_layer_sizes(sizes):
    """Return the widths of the hidden layers as a tuple of int; a single int is one layer."""
    widths = sizes if isinstance(sizes, Iterable) and not isinstance(sizes, str) else (sizes,)
    widths = tuple(widths)
    if not all(is_int(h) and h >= 1 for h in widths):
        raise must(
            "hidden_layer_sizes",
            "be an int >= 1 or a sequence of them, one per layer, () for a linear model",
            sizes,
        )
    return tuple(int(h) for h in widths)


def check_activation(activation, n_hidden, resolve):
    """Return one resolved activation a hidden layer.

    Parameters
    ----------
    activation : str, callable, or a sequence of these
        One for all layers, or one per layer.
    n_hidden : int
        Number of hidden layers.
    resolve : callable
        From a name or callable to an `Activation`.
    """
    if not isinstance(activation, (list, tuple, np.ndarray)):
        resolved = resolve(activation)
        _probe("activation", activation, resolved)
        return (resolved,) * n_hidden
    if len(activation) != n_hidden:
        raise must(
            "activation",
            f"hold one activation per hidden layer, {n_hidden} in all, or be a single one",
            activation,
        )
    return tuple(check_activation(single, 1, resolve)[0] for single in activation)


def _probe(name, given, activation):
    """Try a user's activation on a few numbers, so that its faults show before any work."""
    if isinstance(given, str):
        return
    z = np.linspace(-1.0, 1.0, 6).reshape(2, 3)
    expected = "be an elementwise function written with autograd.numpy"
    try:
        a = activation.value(z)
        first = activation.derivative(z, a)
        second = first if activation.second_derivative is None else activation.second_derivative(z, a, first)
        good = np.shape(a) == np.shape(first) == np.shape(second) == z.shape
    except Exception as error:
        raise ValueError(f"`{name}` must {expected}; got {given!r}, which fails: {error}") from error
    if not good:
        raise must(name, f"{expected}: it keeps the shape of its argument", given)


def probe_loss(given, loss):
    """Try a user's loss on a few numbers, so that its faults show before any work."""
    if isinstance(given, str) or hasattr(given, "gradient"):
        return
    z, y = np.linspace(0.1, 0.9, 6).reshape(3, 2), np.full((3, 2), 0.5)
    expected = (
        "be a function loss(y, raw_prediction) -> array of shape (n_samples,) written with autograd.numpy"
    )
    try:
        good = np.shape(loss.value(z, y)) == (3,) and np.shape(loss.gradient(z, y)) == z.shape
    except Exception as error:
        raise ValueError(f"`loss` must {expected}; got {given!r}, which fails: {error}") from error
    if not good:
        raise must("loss", f"{expected}: both arguments have shape (n_samples, n_outputs)", given)


@contextmanager
def renamed(name, given, expected):
    """Context of checks by scikit-learn, whose errors speak of X and y: they come out under the name of a parameter.

    Parameters
    ----------
    name : str
        The parameter.
    given : object
        What was passed.
    expected : str
        What it must be, from the verb on.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        if str(error).startswith(f"`{name}`"):
            raise
        what = type(given).__name__ if np.ndim(given) == 0 else f"shape {np.shape(given)}"
        raise ValueError(f"`{name}` must {expected}; got {what}: {error}") from error


def check_memory(layer_params, itemsize, partition, entries_needed_by=None):
    """Refuse a net whose vectors, or whose matrix where entries are needed, exceed the memory there is.

    Parameters
    ----------
    layer_params : sequence of int
        Number of parameters of each layer.
    itemsize : int
        Bytes of a number.
    partition : {"full", "layer"}
        One system for all, or one per layer.
    entries_needed_by : str, default=None
        The setting that needs the matrix itself, such as 'scheduler="paper"'; None where products will do.

    Raises
    ------
    ValueError
        With what it would need and the settings that avoid it.
    """
    total = sum(layer_params)
    order = total if partition == "full" else max(layer_params)
    vectors, matrix = step_bytes(total, order, itemsize, has_entries=entries_needed_by is not None)
    if vectors + matrix < ALWAYS_AVAILABLE_BYTES:
        return
    available = available_memory_bytes()
    if vectors > available:
        raise ValueError(
            f"`hidden_layer_sizes` must give a net that fits into memory; got {total:,} parameters, whose "
            f"vectors need {gibibytes(vectors)} of {gibibytes(available)} available. Use smaller layers"
        )
    if vectors + matrix > available:
        _, by_layer = step_bytes(total, max(layer_params), itemsize, has_entries=True)
        layerwise = f'partition="layer" ({gibibytes(by_layer)}), ' if partition == "full" else ""
        raise ValueError(
            f"`hidden_layer_sizes` must give a matrix that fits into memory, since {entries_needed_by} needs "
            f"its entries; got {order:,} unknowns, which need {gibibytes(matrix)} of "
            f'{gibibytes(available)} available. Use {layerwise}scheduler="auto" or "classical" '
            "without pruning, whose conjugate gradients need no matrix, or smaller layers"
        )
