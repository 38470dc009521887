"""The memory of passes: it is used again, and never that of a pass which somebody holds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnewton_sk.nets import Network, Objective, SoftmaxCrossEntropy, objective, resolve_activation


@pytest.fixture(autouse=True)
def reused(monkeypatch):
    monkeypatch.setattr(objective, "REUSE_BYTES", 0)


def problem(chunks=1, n=30):
    rng = np.random.default_rng(0)
    network = Network((4, 5, 3), [resolve_activation("tanh")], SoftmaxCrossEntropy())
    X, targets = rng.standard_normal((n, 4)), np.eye(3)[rng.integers(0, 3, n)]
    thetas = rng.standard_normal((3, network.n_params))
    made = Objective(network, X, targets, None, 0.1)
    if chunks > 1:
        made._slices = [slice(i * n // chunks, (i + 1) * n // chunks) for i in range(chunks)]
        made._inputs, made._memory = [None] * chunks, [None] * chunks
    return made, thetas


OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["value", "gradient", "passes"]), st.integers(0, 2)), max_size=12
)


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


def test_gradients_one_after_the_other_use_the_same_memory():
    made, thetas = problem()
    made.value_and_grad(thetas[0])
    memory = made._memory[0]
    buffers = dict(memory._buffers)
    made.value_and_grad(thetas[1])
    assert made._memory[0] is memory and all(
        memory._buffers[name] is array for name, array in buffers.items()
    )


def test_small_passes_take_new_memory(monkeypatch):
    monkeypatch.setattr(objective, "REUSE_BYTES", 2**20)
    made, thetas = problem()
    made.value_and_grad(thetas[0])
    assert made._memory == [None]


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
