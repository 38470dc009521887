"""Products without a matrix against the matrices of automatic differentiation."""

import cases
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles import Truth
from threadpoolctl import threadpool_limits

from qnewton_sk.curvature import products
from qnewton_sk.curvature.products import CurvatureProduct, FisherProduct
from qnewton_sk.machine import threads

TOLERANCE = 1e-10
KINDS = {
    "hessian": (lambda o, t, layer=None: CurvatureProduct(o, t, layer=layer), Truth.hessian),
    "gauss_newton": (
        lambda o, t, layer=None: CurvatureProduct(o, t, exact=False, layer=layer),
        Truth.gauss_newton,
    ),
    "empirical_fisher": (lambda o, t, layer=None: FisherProduct(o, t, layer=layer), Truth.empirical_fisher),
}


def vectors(case, count=3):
    return np.random.default_rng(7).standard_normal((count, case.network().n_params)).astype(case.dtype)


@pytest.mark.parametrize("case", cases.CASES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_product_is_that_of_autograd(case, kind):
    theta, (build, truth) = case.theta(), KINDS[kind]
    product, matrix = build(case.objective(), theta), truth(Truth(case), theta)
    for v in vectors(case):
        assert cases.relative_error(product(v), matrix @ v) < TOLERANCE


@pytest.mark.parametrize("case", cases.CASES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_product_of_one_layer(case, kind):
    theta, (build, truth) = case.theta(), KINDS[kind]
    matrix = truth(Truth(case), theta)
    for layer, part in enumerate(case.network().layer_slices):
        product = build(case.objective(), theta, layer)
        for v in vectors(case):
            expected = matrix[part, part] @ v[part]
            np.testing.assert_allclose(
                product(v[part]), expected, rtol=1e-10, atol=1e-11 * np.abs(matrix).max()
            )


@pytest.mark.parametrize("case", cases.SINGLE_PRECISION, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_single_precision_stays_single_and_close(case, kind):
    theta, (build, truth) = case.theta(), KINDS[kind]
    matrix = truth(Truth(case), theta.astype(float))
    for v in vectors(case):
        got = build(case.objective(), theta)(v)
        assert got.dtype == np.float32
        assert cases.relative_error(got, matrix @ v) < 1e-5


@pytest.mark.parametrize("case", [cases.NETS[3], cases.NETS[5], *cases.DATA], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_chunks_add_up(case, kind):
    theta, (build, _) = case.theta(), KINDS[kind]
    whole, chunked = build(case.objective(), theta), build(case.objective(chunk_bytes=1500), theta)
    for v in vectors(case):
        assert cases.relative_error(chunked(v), whole(v)) < 1e-13


@pytest.mark.parametrize("case", cases.CASES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept_bytes", [0, 2**30])
def test_threads_change_no_bit(case, kind, kept_bytes, monkeypatch):
    theta, (build, _) = case.theta(), KINDS[kind]
    monkeypatch.setattr(products, "KEPT_BYTES", kept_bytes)
    alone = build(case.objective(chunk_bytes=1500), theta)
    monkeypatch.setattr(threads, "MIN_PARALLEL_FLOPS", 0.0)
    together = build(case.objective(chunk_bytes=1500), theta)
    for v in vectors(case):
        expected = alone(v)
        with threadpool_limits(2, "blas"):
            assert np.array_equal(together(v), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_product_keeps_its_theta_and_its_results(kind):
    """Neither another point, nor a changed array, nor a later product touches what was there before."""
    case, (build, _) = cases.NETS[3], KINDS[kind]
    objective, theta = case.objective(), case.theta()
    product, (v, w, _) = build(objective, theta), vectors(case)
    first = product(v)
    kept = first.copy()
    theta *= 2
    objective.value_and_grad(theta)
    build(objective, theta)(w)
    product(w)
    assert np.array_equal(first, kept)
    assert np.array_equal(product(v), kept)


@pytest.mark.parametrize("kind", KINDS)
def test_the_vector_is_left_alone(kind):
    case, (build, _) = cases.NETS[3], KINDS[kind]
    v = vectors(case)[0]
    kept = v.copy()
    build(case.objective(), case.theta())(v)
    assert np.array_equal(v, kept)


@given(st.floats(-10, 10), st.floats(-10, 10), st.sampled_from(sorted(KINDS)), st.sampled_from(cases.CASES))
def test_products_are_linear_and_symmetric(a, b, kind, case):
    product = KINDS[kind][0](case.objective(), case.theta())
    u, v, _ = vectors(case)
    scale = np.abs(product(u)).max() + np.abs(product(v)).max()
    np.testing.assert_allclose(
        product(a * u + b * v), a * product(u) + b * product(v), rtol=0, atol=1e-11 * scale
    )
    assert abs(u @ product(v) - v @ product(u)) < 1e-12 * len(u) * scale
