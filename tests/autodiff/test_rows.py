"""Gradients per sample: those of linear layers and those of the loop equal the gradients of single samples."""

import autograd.numpy as np
import numpy
import pytest
from autograd import grad
from models import inputs, mixed, objective, parameters

from qnewton_sk import FixedStep, Scheduler, classical_backends, minimize
from qnewton_sk.autodiff import AutogradFisher, AutogradObjective, GivenLosses, Layout, Problem, sample_rows
from qnewton_sk.nets import linear_layer, parameter_leaves

GROUPS = {"layers": ["in", "shared", "out"], "gate": "gate"}


def of_each_sample(o, root):
    """Rows by a gradient of autograd per sample."""
    rows = []
    for n in range(o.n_samples):

        def inner(params, n=n):
            return np.sum(root[n] * mixed(params, o.data[0][n : n + 1])[0])

        found = dict(parameter_leaves(grad(inner)(o.layout.unpack(o.layout.start))))
        row = numpy.empty(o.n_params)
        for leaf in o.layout.leaves:
            row[leaf.part] = numpy.ravel(found[leaf.path])
        rows.append(row)
    return numpy.array(rows)


@pytest.mark.parametrize("chunk_size", [None, 2])
def test_rows_by_layers_and_by_loop_are_those_of_single_samples(chunk_size):
    o = objective("squared_error", partition=GROUPS, chunk_size=chunk_size)
    root = numpy.random.default_rng(0).standard_normal((1, o.n_samples, 2))
    truth = of_each_sample(o, root[0])
    for part in o.layout.parts:
        found = sample_rows(o, o.layout.start, part, root)
        scale = numpy.abs(truth).max()
        numpy.testing.assert_allclose(found, truth[:, part], rtol=0, atol=1e-12 * scale)
    assert o.last_recording is not None and o.last_loop is not None  # each way was used for one group


def test_linear_layers_take_one_pass_and_other_models_one_per_sample():
    calls = []

    def watched(params, X):
        calls.append(len(X))
        return mixed(params, X)

    o = objective("squared_error", n=20, partition=GROUPS)
    problem = Problem(watched, o.layout, o.loss, o.problem.penalties)
    o = AutogradObjective(problem, o.data, o.targets)
    blocks = AutogradFisher().blocks(o, o.layout.start)
    for block, most in zip(blocks, (2, 20)):
        calls.clear()
        block.matrix.factor()
        assert len(calls) <= most
        assert max(calls) == (20 if most == 2 else 1)


def test_rows_of_several_roots_stand_together():
    o = objective("squared_error", partition=GROUPS)
    roots = numpy.random.default_rng(0).standard_normal((3, o.n_samples, 2))
    for part in o.layout.parts:
        whole = sample_rows(o, o.layout.start, part, roots)
        for k in range(3):
            one = sample_rows(o, o.layout.start, part, roots[k : k + 1])
            numpy.testing.assert_allclose(whole[7 * k : 7 * (k + 1)], one, rtol=1e-12, atol=1e-14)


def test_a_tied_weight_falls_back_to_the_loop():
    def tied(params, X):
        hidden = np.tanh(linear_layer(X, params["w"]))
        return np.sum(np.dot(hidden, params["w"].T) ** 2, axis=1)

    layout = Layout({"w": numpy.random.default_rng(0).standard_normal((3, 4))})
    X = numpy.random.default_rng(1).standard_normal((5, 3))
    o = AutogradObjective(Problem(tied, layout, GivenLosses(), numpy.zeros(12)), (X,))
    found = sample_rows(o, layout.start, slice(0, 12), numpy.ones((1, 5, 1)))
    for n in range(5):
        alone = grad(lambda w, n=n: tied({"w": w}, X[n : n + 1])[0])(layout.unpack(layout.start)["w"])
        numpy.testing.assert_allclose(found[n], alone.ravel(), rtol=1e-12)


def test_gradients_that_exceed_the_memory_are_computed_again_for_each_block(monkeypatch):
    o = objective("squared_error", partition="layer")
    root = numpy.ones((1, 7, 2))
    wanted = [sample_rows(o, o.layout.start, part, root) for part in o.layout.parts]
    monkeypatch.setattr("qnewton_sk.autodiff.rows.KEPT_BYTES", 0)
    o = objective("squared_error", partition="layer")
    for part, rows in zip(o.layout.parts, wanted):
        numpy.testing.assert_array_equal(sample_rows(o, o.layout.start, part, root), rows)
    assert o.last_loop is None


def test_a_factor_beyond_the_memory_is_replaced_by_entries_and_products(monkeypatch):
    monkeypatch.setattr("qnewton_sk.autodiff.curvatures.MAX_FACTOR_BYTES", 100)
    monkeypatch.setattr("qnewton_sk.autodiff.curvatures.CHUNK_BYTES", 8 * 50 * 2)
    o = objective("squared_error")
    matrix = AutogradFisher().blocks(o, o.layout.start)[0].matrix
    assert matrix.rank is None and matrix.factor() is None
    monkeypatch.undo()
    plain = AutogradFisher().blocks(o, o.layout.start)[0].matrix
    numpy.testing.assert_allclose(matrix.entries(), plain.entries(), rtol=0, atol=1e-13)


@pytest.mark.parametrize("scheduler", ["auto", "classical"])
def test_a_fisher_fit_per_group_lowers_the_loss(scheduler):
    y = numpy.random.default_rng(2).standard_normal((30, 2))
    result = minimize(
        mixed,
        parameters(),
        (inputs(30), y),
        loss="squared_error",
        curvature="empirical_fisher",
        partition=GROUPS,
        scheduler=scheduler,
        max_iter=30,
    )
    losses = result.history["loss"]
    assert (numpy.diff(losses) <= 0).all()
    assert losses[-1] < 0.9 * losses[0]


def test_relative_damping_of_a_fisher_block_needs_no_entries():
    o = objective("squared_error", n=5, partition="layer")
    control = FixedStep(damping=0.5, relative=True)
    for block in AutogradFisher().blocks(o, o.layout.start):
        few_rows = block.matrix.rank < block.matrix.n
        shift = control.shift(control.initial(), block.matrix)
        assert block.matrix.assembled != few_rows
        assert shift == pytest.approx(0.5 * numpy.abs(block.matrix.entries()).max(), rel=1e-12)


def test_factors_of_a_step_take_bounded_memory_together(monkeypatch):
    o = objective("squared_error", partition="layer")
    blocks = AutogradFisher().blocks(o, o.layout.start)
    wanted = [block.matrix.factor() for block in blocks]
    limit = max(factor.nbytes for factor in wanted)
    monkeypatch.setattr("qnewton_sk.autodiff.rows.MAX_FACTOR_BYTES", limit)
    blocks = AutogradFisher().blocks(o, o.layout.start)
    for _ in range(2):
        for block, factor in zip(blocks, wanted):
            numpy.testing.assert_array_equal(block.matrix.factor(), factor)
            held = [other.matrix.cache.factor for other in blocks if other.matrix.factored]
            assert 0 < sum(array.nbytes for array in held) <= limit
    v = numpy.ones(blocks[0].matrix.n)
    numpy.testing.assert_allclose(
        blocks[0].matrix.product(v), wanted[0].T @ (wanted[0] @ v) + 0.3 / 7, rtol=1e-12
    )


def test_a_product_by_the_factor_leaves_it_to_the_solvers():
    o = objective("squared_error", partition=GROUPS)
    matrix = AutogradFisher().blocks(o, o.layout.start)[0].matrix  # of linear layers
    matrix.product(numpy.ones(matrix.n))
    assert matrix.factored and matrix.assembly_seconds > 0
    calls = o.problem.counts.gradients
    matrix.factor()
    assert o.problem.counts.gradients == calls


def test_steps_do_not_depend_on_the_memory_for_factors(monkeypatch):
    y = numpy.random.default_rng(2).standard_normal((10, 2))
    settings = dict(
        loss="squared_error",
        curvature="empirical_fisher",
        partition="layer",
        scheduler=Scheduler([backend for backend in classical_backends() if backend.name == "woodbury"]),
        regularization=0.1,
        max_iter=5,
    )
    whole = minimize(mixed, parameters(), (inputs(10), y), **settings)
    monkeypatch.setattr("qnewton_sk.autodiff.rows.MAX_FACTOR_BYTES", 10 * 16 * 8)
    result = minimize(mixed, parameters(), (inputs(10), y), **settings)
    numpy.testing.assert_allclose(result.history["loss"], whole.history["loss"], rtol=1e-12)
