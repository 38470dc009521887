"""The assembled matrices against automatic differentiation."""

from functools import partial

import cases
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import Truth
from threadpoolctl import threadpool_limits

from qnewton_sk.curvature import layer_blocks
from qnewton_sk.curvature.assembly import assemble, copy_transposed
from qnewton_sk.curvature.low_rank import gradient_gram, jacobian_gram
from qnewton_sk.curvature.sample_derivatives import SampleCurvature, free_outputs
from qnewton_sk.machine import Workspace, threads

TOLERANCE = 1e-10


@pytest.mark.parametrize("case", cases.CASES, ids=str)
def test_hessian_is_that_of_autograd(case):
    theta = case.theta()
    H = assemble(case.objective(), theta)
    assert cases.relative_error(H, Truth(case).hessian(theta)) < TOLERANCE


@pytest.mark.parametrize("case", cases.CASES, ids=str)
def test_gauss_newton_is_that_of_the_jacobian(case):
    theta = case.theta()
    G = assemble(case.objective(), theta, exact=False)
    assert cases.relative_error(G, Truth(case).gauss_newton(theta)) < TOLERANCE


@pytest.mark.parametrize("case", cases.SINGLE_PRECISION, ids=str)
@pytest.mark.parametrize("exact", [True, False])
def test_single_precision_stays_single_and_close(case, exact):
    theta = case.theta()
    H = assemble(case.objective(), theta, exact=exact)
    truth = Truth(case)
    expected = truth.hessian(theta.astype(float)) if exact else truth.gauss_newton(theta.astype(float))
    assert H.dtype == np.float32
    assert cases.relative_error(H, expected) < 1e-5


@pytest.mark.parametrize("case", cases.CASES, ids=str)
@pytest.mark.parametrize("exact", [True, False])
def test_symmetric_to_the_bit_and_contiguous(case, exact):
    H = assemble(case.objective(), case.theta(), exact=exact)
    assert np.array_equal(H, H.T)
    assert H.flags.c_contiguous and H.flags.writeable


@pytest.mark.parametrize("case", cases.CASES, ids=str)
@pytest.mark.parametrize("exact", [True, False])
def test_a_layers_block_is_that_of_the_whole(case, exact):
    theta, network = case.theta(), case.network()
    H = assemble(case.objective(), theta, exact=exact)
    for layer, part in enumerate(network.layer_slices):
        block = assemble(case.objective(), theta, exact=exact, layer=layer)
        np.testing.assert_allclose(block, H[part, part], rtol=1e-10, atol=1e-13 * np.abs(H).max())


@pytest.mark.parametrize("case", [cases.NETS[3], cases.NETS[5], cases.NETS[7], *cases.DATA], ids=str)
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    "chunk_bytes, temporary_bytes", [(1500, 2**26), (2**28, 1), (3000, 5000), (2**28, 20_000)]
)
def test_chunks_add_up(case, exact, chunk_bytes, temporary_bytes):
    theta = case.theta()
    whole = assemble(case.objective(), theta, exact=exact)
    chunked = assemble(case.objective(chunk_bytes), theta, exact=exact, temporary_bytes=temporary_bytes)
    assert cases.relative_error(chunked, whole) < 1e-13


@pytest.mark.parametrize("exact", [True, False])
def test_the_memory_of_one_theta_does_not_leak_into_the_next(exact):
    case = cases.NETS[3]
    objective, theta = case.objective(), case.theta()
    before = assemble(objective, theta, exact=exact)
    assemble(objective, 0.5 * theta, exact=exact)
    assemble(objective, theta, exact=not exact)
    assert np.array_equal(assemble(objective, theta, exact=exact), before)


@pytest.mark.parametrize("case", cases.CASES, ids=str)
@pytest.mark.parametrize("make", [assemble, partial(assemble, exact=False), jacobian_gram, gradient_gram])
def test_threads_change_nothing(case, make, monkeypatch):
    if make is jacobian_gram and not case.network().loss.is_convex:
        pytest.skip("a loss that is not convex has no such factor")
    alone = make(case.objective(), case.theta())
    monkeypatch.setattr(threads, "MIN_PARALLEL_FLOPS", 0.0)
    monkeypatch.setattr(layer_blocks, "ROWS_PER_TASK", 2)
    monkeypatch.setattr(layer_blocks, "UNIT_BYTES", 100)
    with threadpool_limits(2, "blas"):
        together = make(case.objective(), case.theta())
    assert cases.relative_error(together, alone) < (1e-5 if alone.dtype == np.float32 else 1e-13)


SOFTMAX = [case for case in cases.CASES if case.loss == "log_loss"]


@pytest.mark.parametrize("case", cases.CASES, ids=str)
def test_one_output_is_left_out_where_shifts_change_nothing(case):
    network = case.network()
    outputs = network.widths[-1]
    assert free_outputs(network) == outputs - (case in SOFTMAX)
    p = next(iter(case.objective().passes(case.theta())))
    p.backward()
    layers = range(network.n_layers)
    curvature = SampleCurvature(p, slice(0, case.n), True, layers, Workspace(case.dtype).array)
    shapes = {S.shape[1] for (_, j), S in curvature.S.items() if j == layers[-1]}
    assert shapes == {free_outputs(network)} and len(curvature.delta(layers[-1])) in shapes


@pytest.mark.parametrize("case", SOFTMAX, ids=str)
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("alone", [True, False])
def test_the_curvature_along_shifts_of_all_outputs_is_that_of_the_penalty(case, exact, alone):
    case, network = case.but(alpha=0.0), case.network()
    H = assemble(case.objective(), case.theta(), exact=exact, layer=network.n_layers - 1 if alone else None)
    inputs, outputs = network.widths[-2] + 1, network.widths[-1]
    shifts = H[:, -inputs * outputs :].reshape(len(H), inputs, outputs).sum(axis=2)
    assert np.abs(shifts).max() < 1e-14 * np.abs(H).max()


@pytest.mark.parametrize("scale", [0.01, 30.0])
def test_softmax_of_nearly_certain_and_of_undecided_classes(scale):
    case = cases.DATA[-2]
    assert case.name == "many classes"
    theta = scale * case.theta()
    H, G = assemble(case.objective(), theta), assemble(case.objective(), theta, exact=False)
    truth = Truth(case)
    assert cases.relative_error(H, truth.hessian(theta)) < 1e-12
    assert cases.relative_error(G, truth.gauss_newton(theta)) < 1e-12


def test_a_single_output_of_softmax_has_no_curvature():
    case = cases.Case("one class", (3, 2, 1), ("tanh",), "log_loss", alpha=0.5)
    H = assemble(case.objective(), case.theta())
    assert free_outputs(case.network()) == 1
    np.testing.assert_allclose(H, np.diag(case.objective().penalties), atol=1e-15)


def test_entries_that_overflow_warn_of_nothing():
    case = cases.DATA[-2].but(activations=("identity", "identity"), weights="none")
    theta, output_layer = 1e100 * case.theta(), case.network().layer_slices[-1]
    theta[output_layer] = 0  # all classes are equally likely, so that infinities of both signs meet
    with np.errstate(over="raise", invalid="raise"):
        H = assemble(case.objective(), theta)
    assert np.isnan(H[output_layer, output_layer]).any()


names = st.sampled_from(["identity", "tanh", "relu", "silu", "logistic"])


@st.composite
def random_cases(draw):
    hidden = draw(st.lists(st.integers(1, 5), max_size=4))
    loss = draw(st.sampled_from(["log_loss", "binary_log_loss", "squared_error", "poisson", "huber"]))
    outputs = draw(st.integers(2 if loss == "log_loss" else 1, 3))
    return cases.Case(
        "random",
        (draw(st.integers(1, 6)), *hidden, outputs),
        tuple(draw(names) for _ in hidden),
        loss,
        n=draw(st.integers(1, 12)),
        alpha=draw(st.sampled_from([0.0, 1.0])),
        weights=draw(st.sampled_from(["none", "positive", "zeros"])) if loss != "huber" else "none",
        density=draw(st.sampled_from([1.0, 0.3, 0.02])),
        seed=draw(st.integers(0, 10**6)),
    )


@settings(max_examples=25)
@given(random_cases())
def test_any_small_net(case):
    if case.weights == "zeros" and case.n == 1:
        case = case.but(weights="none")
    theta, truth = case.theta(), Truth(case)
    scale = 1 + np.abs(truth.hessian(theta)).max()
    H, G = assemble(case.objective(), theta), assemble(case.objective(), theta, exact=False)
    assert np.abs(H - truth.hessian(theta)).max() < TOLERANCE * scale
    assert np.abs(G - truth.gauss_newton(theta)).max() < TOLERANCE * scale


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 100))
def test_tiles_make_up_the_transpose(rows, columns, tile):
    source = np.random.default_rng(rows).standard_normal((rows, columns))
    target = np.full((columns, rows), np.nan)
    copy_transposed(source, target, tile)
    assert np.array_equal(target, source.T)
