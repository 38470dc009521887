"""Export to ONNX: converters of both estimators for skl2onnx."""

import numpy as np

from qnewton_sk.estimators import QNewtonClassifier, QNewtonRegressor, fitted_network

from .onnx_graph import PREDICTIONS, Graph, add_raw_outputs, check_exportable

CLASSIFIER_OPTIONS = {
    "zipmap": [True, False, "columns"],
    "output_class_labels": [False, True],
    "nocl": [False, True],
    "raw_scores": [False, True],
}
"""Options of skl2onnx that the converter of the classifier supports, with their values."""


def register_onnx() -> None:
    """Teach skl2onnx to convert `QNewtonClassifier` and `QNewtonRegressor`, alone and inside other estimators.

    After one call, `skl2onnx.to_onnx` takes fitted estimators, Pipelines and other compositions that hold them.
    A regressor has one output of shape (n_samples, n_outputs): the predictions. A classifier has the labels and the
    probabilities, of shape (n_samples, n_classes); the options "zipmap", "output_class_labels", "nocl" and
    "raw_scores" are those of scikit-learn's classifiers in skl2onnx, where the raw scores of two classes are -z and z
    for the log-odds z. Float inputs are computed in single precision and double inputs in double, except for the
    error function of "gelu", which onnxruntime has in single precision only.

    Converters raise a ValueError for an activation that is a user's own function, since ONNX cannot hold one.
    A user's own loss is no obstacle, since predictions do not depend on it. For a regressor with `posterior`, the
    predictions are exported, which do not depend on the posterior, but not the standard deviations. A classifier
    with `posterior` is refused, since its probabilities are averages over the posterior.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> from skl2onnx import to_onnx
    >>> from qnewton_sk import QNewtonRegressor, register_onnx
    >>> X = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    >>> model = QNewtonRegressor((4,), alpha=0.1, random_state=0).fit(X, X[:, 0] ** 2)
    >>> register_onnx()
    >>> onnx_model = to_onnx(model, X[:1])
    >>> [output.name for output in onnx_model.graph.output]
    ['variable']
    """
    try:
        from skl2onnx import update_registered_converter
    except ImportError as error:
        raise ImportError('the export needs skl2onnx: pip install "qnewton_sk[onnx]"') from error
    update_registered_converter(
        QNewtonClassifier,
        "QNewtonClassifier",
        classifier_shapes,
        convert_classifier,
        options=CLASSIFIER_OPTIONS,
    )
    update_registered_converter(
        QNewtonRegressor, "QNewtonRegressor", regressor_shapes, convert_regressor, options={}
    )


def regressor_shapes(operator):
    """Set type and shape of the output: (n_samples, n_outputs), in the precision of the input."""
    network = fitted_network(operator.raw_operator)
    operator.outputs[0].set_type(_tensor(operator)([_samples(operator), network.widths[-1]]))


def classifier_shapes(operator):
    """Set types and shapes of the two outputs: the labels, and one number per sample and class."""
    from skl2onnx.common.data_types import Int64TensorType, StringTensorType

    model = operator.raw_operator
    fitted_network(model)
    n, n_classes = _samples(operator), len(model.classes_)
    labels = _exported_labels(model, operator.scope_inst)
    tensor = StringTensorType if labels.dtype.kind == "S" else Int64TensorType
    operator.outputs[0].set_type(tensor([n, n_classes] if _is_multilabel(model) else [n]))
    operator.outputs[1].set_type(_tensor(operator)([n, n_classes]))


def convert_regressor(scope, operator, container):
    """Add the nodes of a fitted regressor."""
    graph, network, z = _raw_outputs(scope, operator, container)
    prediction = PREDICTIONS[network.loss.out_activation](graph, z)
    graph.add("Identity", prediction, output=operator.outputs[0].full_name)


def convert_classifier(scope, operator, container):
    """Add the nodes of a fitted classifier."""
    from onnx import TensorProto

    model = operator.raw_operator
    _check_no_posterior(model)
    graph, network, z = _raw_outputs(scope, operator, container)
    labels, scores = (output.full_name for output in operator.outputs)
    if _is_multilabel(model):
        positive = graph.add("Greater", z, graph.constant([0.0]))
        graph.add("Cast", positive, output=labels, to=TensorProto.INT64)
    else:
        if network.widths[-1] == 1:  # z is the log-odds of the second class; those of the first are -z
            z = graph.add("Concat", graph.add("Neg", z), z, axis=1)
        names = _exported_labels(model, container)
        element = TensorProto.STRING if names.dtype.kind == "S" else TensorProto.INT64
        best = graph.add("ArgMax", z, axis=1, keepdims=0)
        graph.add("Gather", graph.constant(names, element), best, output=labels)
    if container.get_options(model, {"raw_scores": False})["raw_scores"]:
        graph.add("Identity", z, output=scores)
    elif network.loss.out_activation == "softmax":
        graph.add("Softmax", z, output=scores, axis=1)
    else:
        graph.add("Sigmoid", z, output=scores)


def _raw_outputs(scope, operator, container):
    """Return the graph, the net, and the name of its raw outputs."""
    from skl2onnx.common.data_types import guess_proto_type

    model = operator.raw_operator
    network = fitted_network(model)
    check_exportable(network)
    graph = Graph(scope, container, guess_proto_type(_tensor(operator)()))
    inputs = [variable.full_name for variable in operator.inputs]
    return graph, network, add_raw_outputs(graph, network, model.coefs_, model.intercepts_, inputs)


def _tensor(operator):
    """Return the type of all numbers: double precision if an input has it, otherwise single precision."""
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    has_double = any(isinstance(variable.type, DoubleTensorType) for variable in operator.inputs)
    return DoubleTensorType if has_double else FloatTensorType


def _samples(operator):
    return operator.inputs[0].get_first_dimension()


def _is_multilabel(model):
    return model.out_activation_ == "logistic" and model.n_outputs_ > 1


def _exported_labels(model, options):
    """Return the class labels that the graph outputs, int64 or UTF-8 bytes.

    `options` is the object that holds the options of the conversion.
    """
    if options.get_options(model, {"nocl": False})["nocl"]:
        return np.arange(len(model.classes_))
    labels = model.classes_
    if all(isinstance(label, str) for label in labels):
        return np.array([label.encode("utf-8") for label in labels])
    return labels.astype(np.int64)  # scikit-learn accepts floats as labels only if they are whole


def _check_no_posterior(model):
    if model.posterior_ is not None:
        raise ValueError(
            "`posterior` must be None for an ONNX export of a classifier, whose probabilities are otherwise averages "
            f"over the posterior; got {model.posterior!r}. Fit without it, or set `posterior_ = None` on a copy to "
            "export the probabilities of the fitted parameters"
        )
