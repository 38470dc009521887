"""A linear layer for models written in autograd.numpy, and gradients per sample at the cost of one of the batch."""

import math
from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import autograd.numpy as anp
import numpy as np
from autograd import value_and_grad
from autograd.extend import defvjp, primitive
from autograd.tracer import isbox

RELATIVE_SLACK = 1e-3
"""Relative difference, in the norm, up to which the gradients per sample are taken to add up to the gradient of the
batch, beside rounding: far below what another use of the weight contributes."""

ROUNDING_SLACK = 100.0
"""Units of machine epsilon by which the two may differ, relative to the norms of the factors: sums of 10^4 rounded
terms differ by about 10^2 units, and longer ones by less, since they are added in pieces or in double precision."""

SKETCHES = 8
"""Number of random pairs (u, v) for which u^T G v of two gradients G of a weight is compared. It costs a share of about
1 / n_in + 1 / n_out of the sum over the samples per pair, and a difference as large as the gradient itself is missed
with a probability below 10^-15."""


def linear_layer(inputs, weight, bias=None):
    """Return ``inputs @ weight + bias``; `sample_gradients` can tell the samples of such a layer apart.

    Parameters
    ----------
    inputs : array of shape (n_samples, ..., n_in)
        The first axis must be that of the samples, such as images or sequences.
    weight : array of shape (n_in, n_out)
        An array of the parameters as it is, neither transposed nor scaled.
    bias : array of shape (n_out,), default=None
        An array of the parameters as it is.

    Returns
    -------
    array of shape (n_samples, ..., n_out)

    Examples
    --------
    >>> import numpy as np
    >>> from qnewton_sk.nets import linear_layer
    >>> linear_layer(np.ones((2, 3)), np.eye(3), np.array([0.0, 1.0, 2.0]))
    array([[1., 2., 3.],
           [1., 2., 3.]])
    """
    flat = anp.reshape(inputs, (-1, inputs.shape[-1]))
    outputs = anp.dot(flat, weight)
    if bias is not None:
        outputs = outputs + bias
    outputs = anp.reshape(outputs, (*inputs.shape[:-1], weight.shape[1]))
    recorder = _RECORDER.get()
    return outputs if recorder is None else recorder.watch(inputs, weight, bias, outputs)


def sample_gradients(losses, params, *data):
    """Return the losses, the gradient of their mean, and the gradient of every sample for each linear layer.

    Every `linear_layer` keeps its inputs a, and the backward pass brings the gradient e at its output. The gradient
    of sample b in the weight is then the sum over the positions t of a_bt e_bt^T, and in the bias that of e_bt: no
    sample has a backward pass of its own.

    Parameters
    ----------
    losses : callable
        ``losses(params, *data)`` returns one loss per sample, shape (n_samples,), and computes no sample's loss
        from another sample. Written in autograd.numpy with `linear_layer`.
    params : nested dicts, lists, tuples and arrays
        Where to differentiate.
    *data : object
        Passed on.

    Returns
    -------
    values : ndarray of shape (n_samples,)
        The losses.
    gradient : nested like `params`
        Gradient of the mean of the losses.
    gradients : SampleGradients
        Mapping from the path of a parameter to an array of shape (n_samples, size of the parameter).

    Raises
    ------
    ValueError
        If the losses are not one number per sample, or if a weight of a linear layer is used elsewhere too.

    References
    ----------
    Goodfellow (2015), Efficient per-example gradient computations, arXiv:1510.01799.

    Examples
    --------
    >>> import autograd.numpy as np
    >>> from qnewton_sk.nets import linear_layer, sample_gradients
    >>> def losses(params, X, y):
    ...     return (linear_layer(X, params["w"], params["b"])[:, 0] - y) ** 2
    >>> params = {"w": np.array([[1.0], [2.0]]), "b": np.array([0.0])}
    >>> X, y = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0.0, 1.0])
    >>> values, gradient, gradients = sample_gradients(losses, params, X, y)
    >>> gradients["w",]
    array([[2., 0.],
           [0., 2.]])
    >>> gradient["w"].ravel(), sorted(gradients)
    (array([1., 1.]), [('b',), ('w',)])
    """
    with _recording() as recorder:
        (_, values), gradient = _value_and_grad(losses, params, data)
    _check_samples(values, [use for found in recorder.uses.values() for use in found])
    leaves = {id(array): path for path, array in parameter_leaves(params)}
    uses = {
        leaves[key]: tuple(use.of_sums(len(values)) for use in found)
        for key, found in recorder.uses.items()
        if key in leaves
    }
    gradients = SampleGradients(uses)
    _check_means(gradients, gradient, len(values))
    return values, gradient, gradients


def parameter_leaves(params, path=()):
    """Yield (path, array) of every array in nested dicts, lists and tuples; a path is a tuple of keys and indices.

    Examples
    --------
    >>> from qnewton_sk.nets import parameter_leaves
    >>> list(parameter_leaves({"layers": [{"w": 1.0}], "b": 2.0}))
    [(('layers', 0, 'w'), 1.0), (('b',), 2.0)]
    """
    if isinstance(params, Mapping):
        items = params.items()
    elif isinstance(params, list | tuple):
        items = enumerate(params)
    else:
        yield path, params
        return
    for key, value in items:
        yield from parameter_leaves(value, (*path, key))


class SampleGradients(Mapping):
    """Gradients per sample by the path of the parameter, each computed when it is asked for and not kept.

    What is held are the inputs of the layers and the gradients at their outputs, so that the memory in use at one
    time is bounded by the largest layer.
    """

    def __init__(self, uses):
        self._uses = uses

    def __getitem__(self, path):
        """Return the gradients in the parameter at `path`, shape (n_samples, size), in C order of the parameter."""
        total = None
        for use in self._uses[path]:
            part = use.gradients()
            total = part if total is None else total + part
        return total

    def __iter__(self):
        """Iterate over the paths."""
        return iter(self._uses)

    def __len__(self):
        """Return the number of parameters."""
        return len(self._uses)

    def size(self, path):
        """Return the number of entries of the parameter at `path`."""
        return self._uses[path][0].size

    def compared(self, path, total):
        """Return linear functions of the sum over the samples, and the same functions of an array `total`.

        For a weight they are a few sketches; a bias is compared entry by entry.
        """
        uses = self._uses[path]
        if all(isinstance(use, _WeightUse) for use in uses):
            return sum(use.sketch() for use in uses), _sketch(total)
        return sum(use.total() for use in uses), np.ravel(total)

    def rounding(self, path):
        """Return the rounding error that the linear functions may have, in the norm."""
        return sum(use.rounding() for use in self._uses[path])


class _WeightUse(NamedTuple):
    """Inputs of shape (n, ..., n_in) of one call, and the gradient at its output of shape (n, ..., n_out)."""

    inputs: np.ndarray
    output_gradient: np.ndarray

    @property
    def size(self):
        return self.inputs.shape[-1] * self.output_gradient.shape[-1]

    def of_sums(self, n_samples):
        """The same for the sum of the losses, when this is for their mean."""
        return self._replace(output_gradient=n_samples * self.output_gradient)

    def gradients(self):
        a, e = (array.reshape(len(array), -1, array.shape[-1]) for array in self)
        return (a.transpose(0, 2, 1) @ e).reshape(len(a), -1)

    def sketch(self):
        a, e = (array.reshape(-1, array.shape[-1]) for array in self)
        U, V = _directions(a.shape[1], e.shape[1], e.dtype)
        return ((a @ U) * (e @ V)).sum(axis=0, dtype=float)

    def total(self):
        a, e = (array.reshape(-1, array.shape[-1]) for array in self)
        return (a.T @ e).ravel()

    def rounding(self):
        slack = ROUNDING_SLACK * math.sqrt(SKETCHES) * np.finfo(self.output_gradient.dtype).eps
        return slack * np.linalg.norm(self.inputs) * np.linalg.norm(self.output_gradient)


class _BiasUse(NamedTuple):
    """The gradient at the output of one call, shape (n, ..., n_out)."""

    output_gradient: np.ndarray

    @property
    def size(self):
        return self.output_gradient.shape[-1]

    def of_sums(self, n_samples):
        """The same for the sum of the losses, when this is for their mean."""
        return _BiasUse(n_samples * self.output_gradient)

    def gradients(self):
        e = self.output_gradient
        return e.reshape(len(e), -1, e.shape[-1]).sum(axis=1)

    def total(self):
        return self.output_gradient.reshape(-1, self.size).sum(axis=0, dtype=float)

    def rounding(self):
        e = self.output_gradient
        return ROUNDING_SLACK * np.finfo(e.dtype).eps * np.sqrt(e.size / self.size) * np.linalg.norm(e)


def _directions(n_in, n_out, dtype):
    """Return the vectors u and v of the sketches, of shapes (n_in, SKETCHES) and (n_out, SKETCHES)."""
    both = np.random.default_rng(0).standard_normal((n_in + n_out, SKETCHES)).astype(dtype, copy=False)
    return both[:n_in], both[n_in:]


def _sketch(gradient):
    U, V = _directions(*gradient.shape, gradient.dtype)
    return ((gradient.T @ U) * V).sum(axis=0, dtype=float)


class _Recorder:
    """What the linear layers of one pass have seen, by the identity of their weights and biases."""

    def __init__(self):
        self.uses = {}

    def watch(self, inputs, weight, bias, outputs):
        a = _plain(inputs)
        weight_key, bias_key = id(_plain(weight)), None if bias is None else id(_plain(bias))

        def keep(output_gradient):
            self.uses.setdefault(weight_key, []).append(_WeightUse(a, output_gradient))
            if bias_key is not None:
                self.uses.setdefault(bias_key, []).append(_BiasUse(output_gradient))

        return _tap(outputs, keep)


_RECORDER = ContextVar("recorder of linear layers", default=None)
"""The recorder of the pass that is under way in this thread, None outside `sample_gradients`."""


@contextmanager
def _recording():
    recorder = _Recorder()
    token = _RECORDER.set(recorder)
    try:
        yield recorder
    finally:
        _RECORDER.reset(token)


@primitive
def _tap(outputs, keep):
    """The outputs unchanged; the backward pass hands their gradient to `keep`."""
    return outputs


def _tap_vjp(answer, outputs, keep):
    dtype = np.result_type(_plain(answer))

    def backward(output_gradient):
        # numpy 1 makes float64 of a float32 scalar that is divided by an int, and the gradient of a mean begins so
        keep(_plain(output_gradient).astype(dtype, copy=False))
        return output_gradient

    return backward


defvjp(_tap, _tap_vjp, argnums=(0,))


def _plain(array):
    while isbox(array):
        array = array._value
    return array


def _value_and_grad(losses, params, data):
    seen = []

    def mean(parameters):
        values = losses(parameters, *data)
        seen.append(_plain(values))
        return anp.sum(values) / max(1, np.size(seen[0]))

    value, gradient = value_and_grad(mean)(params)
    return (value, seen[0]), gradient


def _check_means(gradients, gradient, n_samples):
    """Raise ValueError if the records of a parameter's linear layers do not make up its gradient."""
    whole = dict(parameter_leaves(gradient))
    for path in gradients:
        found, wanted = gradients.compared(path, n_samples * whole[path])
        size = max(np.linalg.norm(found), np.linalg.norm(wanted))
        if np.linalg.norm(found - wanted) > RELATIVE_SLACK * size + gradients.rounding(path):
            raise ValueError(
                f"the parameter {path!r} must be used in `linear_layer` alone, as it is; the gradients of its linear "
                "layers do not add up to its gradient. Give the other use a parameter of its own"
            )


def _check_samples(values, uses):
    """Raise ValueError unless the losses are one per sample and the layers' inputs have the samples first."""
    for array in (values, *(use.output_gradient for use in uses)):
        if np.ndim(values) != 1 or np.shape(array)[:1] != np.shape(values):
            raise ValueError(
                "`losses` must return one loss per sample, and every linear layer must have the samples along its "
                f"first axis; got losses of shape {np.shape(values)} and an array of shape {np.shape(array)}"
            )
