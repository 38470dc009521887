"""A transformer with primitives of its own: layer-wise Fisher in single precision, in batches, beside plain steps."""

import numpy
from mistral import Mistral

from qnewton_sk import FixedStep, minimize
from qnewton_sk.autodiff import AutogradFisher, AutogradObjective, GivenLosses, Layout, Problem
from qnewton_sk.nets import parameter_leaves

MODEL = Mistral(vocabulary=50, hidden=8, layers=2, heads=2, intermediate=16)

FIRST_ORDER = ["attention_norm", "norm"]


def problem():
    """Trained parameters, the losses of sequences, and data; the tables are not trained."""
    rng = numpy.random.default_rng(0)
    params = MODEL.initial(rng, rng.standard_normal((50, 8)), numpy.float32)
    tables = {name: params.pop(name) for name in MODEL.frozen}

    def losses(params, tokens, places, targets):
        return MODEL.losses({**params, **tables}, tokens, places, targets)

    sequences = numpy.cumsum(rng.integers(1, 3, size=(24, 13)), axis=1) % 50
    return losses, params, MODEL.batch(rng, sequences, share=0.5)


def test_layer_wise_fisher_steps_lower_the_loss_of_a_transformer():
    losses, params, data = problem()
    result = minimize(
        losses,
        params,
        data,
        curvature="empirical_fisher",
        partition="layer",
        first_order=FIRST_ORDER,
        first_order_rate=1.0,
        step_control=FixedStep(damping=0.1, learning_rate=0.05),
        batch_size=12,
        max_iter=15,
        n_iter_no_change=numpy.inf,
        random_state=0,
    )
    assert {array.dtype for _, array in parameter_leaves(result.x)} == {numpy.dtype(numpy.float32)}
    assert result.fun < 0.6 * losses(params, *data).mean()
    assert len(result.history["loss"]) == 30
    assert set("+".join(result.history["backend"]).split("+")) <= {
        "woodbury",
        "cg",
        "cholesky",
        "lu",
        "cholesky_single",
    }


def test_all_matrices_of_its_linear_layers_have_gradients_from_one_pass():
    losses, params, data = problem()
    layout = Layout(params, "layer", FIRST_ORDER)
    calls = []

    def watched(*arguments):
        calls.append(len(arguments[1]))
        return losses(*arguments)

    objective = AutogradObjective(Problem(watched, layout, GivenLosses(), numpy.zeros(layout.n_params)), data)
    blocks = AutogradFisher().blocks(objective, layout.start)
    calls.clear()
    factors = [block.matrix.factor() for block in blocks]
    assert calls.count(24) == len(calls) <= 2
    total = sum(factor.sum(axis=0).sum(dtype=float) for factor in factors) / 24**0.5
    gradient = objective.value_and_grad(layout.start)[1][: layout.first_order.start]
    assert abs(total - gradient.sum(dtype=float)) < 1e-4 * numpy.abs(gradient).sum()
