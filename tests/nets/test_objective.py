"""The objective keeps the passes of one point: whoever holds them, and whatever comes next, gets right numbers."""

import cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnewton_sk.nets import Activation, Network, Objective, SoftmaxCrossEntropy, resolve_activation

OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["value", "gradient", "passes"]), st.integers(0, 2)), max_size=12
)


def problem(chunks=1, n=30):
    """An objective whose samples are cut into chunks, and three points; the first two begin with the same number."""
    rng = np.random.default_rng(0)
    network = Network((4, 5, 3), [resolve_activation("tanh")], SoftmaxCrossEntropy())
    X, targets = rng.standard_normal((n, 4)), np.eye(3)[rng.integers(0, 3, n)]
    thetas = rng.standard_normal((3, network.n_params))
    thetas[1, 0] = thetas[0, 0]
    made = Objective(network, X, targets, None, 0.1)
    made._slices = [slice(i * n // chunks, (i + 1) * n // chunks) for i in range(chunks)]
    made._inputs = [None] * chunks
    return made, thetas


@given(OPERATIONS, st.integers(1, 3))
def test_any_order_of_calls_gives_what_a_new_objective_gives(operations, chunks):
    made, thetas = problem(chunks)
    held = []
    for name, k in operations:
        new = problem(chunks)[0]
        if name == "value":
            assert made.value(thetas[k]) == new.value(thetas[k])
        elif name == "gradient":
            (value, gradient), (truth, expected) = (o.value_and_grad(thetas[k]) for o in (made, new))
            assert value == truth
            np.testing.assert_array_equal(gradient, expected)
        else:
            held.append((list(made.passes(thetas[k])), list(new.passes(thetas[k]))))
    for passes, expected in held:  # later calls have not overwritten them
        for p, truth in zip(passes, expected):
            for name in ("inputs", "z", "deltas", "errors", "derivatives"):
                for array, other in zip(getattr(p, name), getattr(truth, name)):
                    np.testing.assert_array_equal(array, other)


@given(st.integers(2, 4))
def test_an_evaluation_elsewhere_does_not_disturb_passes_that_are_still_to_come(chunks):
    made, thetas = problem(chunks)
    truth = list(problem(chunks)[0].passes(thetas[0]))
    made.value_and_grad(thetas[0])
    for p, expected in zip(made.passes(thetas[0]), truth):
        made.value_and_grad(thetas[1])
        np.testing.assert_array_equal(p.deltas[0], expected.deltas[0])


def test_objectives_of_two_penalties_share_passes_and_overwrite_none():
    made, thetas = problem()
    made.value_and_grad(thetas[0])
    other = made.with_alpha(0.5)
    made.value_and_grad(thetas[1])
    truth = problem()[0].with_alpha(0.5)
    for k in (0, 2, 0):
        np.testing.assert_array_equal(other.value_and_grad(thetas[k])[1], truth.value_and_grad(thetas[k])[1])
    truth = problem()[0]
    np.testing.assert_array_equal(made.value_and_grad(thetas[1])[1], truth.value_and_grad(thetas[1])[1])


@pytest.mark.parametrize("case", [*cases.CASES, *cases.SINGLE_PRECISION], ids=str)
@pytest.mark.parametrize("chunk_bytes", [2**28, 1500])
def test_a_gradient_alone_is_that_of_passes_that_are_kept_to_the_last_bit(case, chunk_bytes):
    """A run that goes on has passes where the first run had none, and must take the same steps."""
    alone, kept, theta = case.objective(chunk_bytes), case.objective(chunk_bytes), case.theta()
    list(kept.passes(theta))
    (value, gradient), (truth, expected) = alone.value_and_grad(theta), kept.value_and_grad(theta)
    assert value == truth
    np.testing.assert_array_equal(gradient, expected)


def test_a_derivative_in_another_precision_changes_no_bit_of_a_gradient_alone():
    double = np.float64(1.1)
    own = Activation("own", lambda z: double * np.sin(z), lambda z, a: double * np.cos(z))
    rng = np.random.default_rng(0)
    network = Network((4, 5, 6, 3), [own, own], SoftmaxCrossEntropy())
    X, targets = rng.standard_normal((30, 4), np.float32), np.eye(3, dtype=np.float32)[rng.integers(0, 3, 30)]
    theta = rng.standard_normal(network.n_params, np.float32)
    alone, kept = (Objective(network, X, targets) for _ in range(2))
    kept.value(theta)
    (value, gradient), (truth, expected) = alone.value_and_grad(theta), kept.value_and_grad(theta)
    assert value == truth
    np.testing.assert_array_equal(gradient, expected)


def test_a_gradient_alone_keeps_no_passes_and_uses_those_of_a_trial():
    made, thetas = problem()
    made.value_and_grad(thetas[0])
    assert made._last is None
    made.value(thetas[1])
    trial = made._last[2][0]
    made.value_and_grad(thetas[1])
    assert next(made.passes(thetas[1])) is trial
    assert trial.deltas is not None
