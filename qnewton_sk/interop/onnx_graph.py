"""A net as nodes of an ONNX graph: layers, activations, and the functions from raw output to prediction."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from qnewton_sk.nets import resolve_activation

SINGLE = 1
"""`onnx.TensorProto.FLOAT`, a number of the ONNX standard (onnx.proto)."""


@dataclass(frozen=True)
class Graph:
    """The ONNX graph that is being built; it wraps what skl2onnx passes to a converter.

    Parameters
    ----------
    scope : skl2onnx Scope
        Source of unused names.
    container : skl2onnx ModelComponentContainer
        Container of the nodes and constants.
    number : int
        Element type of all numbers, FLOAT or DOUBLE of `onnx.TensorProto`.
    """

    scope: Any
    container: Any
    number: int

    def add(self, operator, *inputs, output=None, **attributes):
        """Add a node with one output; return the name of that output.

        Parameters
        ----------
        operator : str
            An operator of ONNX, such as "MatMul".
        *inputs : str
            Names of its inputs.
        output : str, default=None
            Name of its output; by default an unused name.
        **attributes : dict
            Attributes of the node.

        Returns
        -------
        str
        """
        output = output or self.scope.get_unique_variable_name(operator.lower())
        name = self.scope.get_unique_operator_name(operator)
        self.container.add_node(operator, list(inputs), output, name=name, **attributes)
        return output

    def constant(self, values, element=None):
        """Add a constant; return its name.

        Parameters
        ----------
        values : array-like
            The numbers, or strings as bytes.
        element : int, default=None
            Element type by `onnx.TensorProto`; by default that of the numbers of the graph.

        Returns
        -------
        str
        """
        values = np.asarray(values)
        name = self.scope.get_unique_variable_name("constant")
        element = self.number if element is None else element
        self.container.add_initializer(name, element, values.shape, values.ravel().tolist())
        return name


def _same(graph, z):
    return z


def _one_node(operator):
    return lambda graph, z: graph.add(operator, z)


def _softplus(graph, z):
    """max(z, 0) + log(1 + e^-|z|): onnxruntime has Softplus in single precision only."""
    one = graph.constant([1.0])
    small = graph.add("Exp", graph.add("Neg", graph.add("Abs", z)))
    return graph.add("Add", graph.add("Relu", z), graph.add("Log", graph.add("Add", one, small)))


def _silu(graph, z):
    """z / (1 + e^-z): onnxruntime 1.22 fuses z Sigmoid(z) into a node that it has in single precision only."""
    return graph.add("Div", z, graph.add("Add", graph.constant([1.0]), graph.add("Exp", graph.add("Neg", z))))


def _gelu(graph, z):
    """The exact form, z (1 + erf(z / sqrt 2)) / 2. The operator Gelu exists only from opset 20 on."""
    half, one, root = (graph.constant([value]) for value in (0.5, 1.0, math.sqrt(0.5)))
    # onnxruntime has erf in single precision only
    argument = graph.add("Cast", graph.add("Mul", z, root), to=SINGLE)
    erf = graph.add("Cast", graph.add("Erf", argument), to=graph.number)
    return graph.add("Mul", z, graph.add("Mul", half, graph.add("Add", one, erf)))


ACTIVATIONS = {
    resolve_activation(name): nodes
    for name, nodes in {
        "identity": _same,
        "logistic": _one_node("Sigmoid"),
        "tanh": _one_node("Tanh"),
        "relu": _one_node("Relu"),
        "softplus": _softplus,
        "silu": _silu,
        "gelu": _gelu,
    }.items()
}
"""Functions that add the nodes of an activation. The keys are the activations themselves, since a user's function may
have any name."""

PREDICTIONS = {"identity": _same, "exp": _one_node("Exp")}
"""Functions that add the nodes from raw output to prediction of a regressor, by the `out_activation` of the loss."""


def check_exportable(network):
    """Refuse a net whose functions have no ONNX nodes.

    Raises
    ------
    ValueError
        If a function has no ONNX nodes; the message names the parameter that holds it.
    """
    names = [known.name for known in ACTIVATIONS]
    for activation in network.activations:
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"`activation` must be among {names} for ONNX, which cannot hold a Python function; got "
                f"{activation.name}. Fit with one of these, or save the model by joblib"
            )
    known = [*PREDICTIONS, "softmax", "logistic"]
    if network.loss.out_activation not in known:
        raise ValueError(
            f"`loss` must have an `out_activation` among {known} for ONNX; got {network.loss.out_activation!r}. "
            "Save the model by joblib"
        )


def add_raw_outputs(graph, network, coefs, intercepts, inputs):
    """Add the layers of a net; return the name of its raw outputs, of shape (n_samples, n_outputs).

    Parameters
    ----------
    graph : Graph
        The graph.
    network : Network
        The net.
    coefs, intercepts : list of ndarray
        Its weights and intercepts, layer by layer.
    inputs : list of str
        Names of the inputs, of shapes (n_samples, n_columns) and any numeric type: all features in one, or the
        columns of a DataFrame one by one.

    Returns
    -------
    str
    """
    columns = [graph.add("Cast", name, to=graph.number) for name in inputs]
    a = columns[0] if len(columns) == 1 else graph.add("Concat", *columns, axis=1)
    for layer, (W, b) in enumerate(zip(coefs, intercepts)):
        a = graph.add("Add", graph.add("MatMul", a, graph.constant(W)), graph.constant(b))
        if layer < len(network.activations):
            a = ACTIVATIONS[network.activations[layer]](graph, a)
    return a
