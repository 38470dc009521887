"""The parts: their blocks, what these promise, and how a curvature is asked for."""

import cases
import numpy as np
import pytest
from oracles import Truth
from sklearn.base import clone

from qnewton_sk.curvature.assembly import assemble, assembly_flops
from qnewton_sk.curvature.low_rank import gradient_gram, gram_flops, jacobian_gram
from qnewton_sk.curvature.matrices import EmpiricalFisher, GaussNewton, Hessian, resolve_curvature
from qnewton_sk.curvature.products import priced_flops

PARTS = {"hessian": Hessian, "gauss_newton": GaussNewton, "empirical_fisher": EmpiricalFisher}
kinds = pytest.mark.parametrize("kind", PARTS)
all_cases = pytest.mark.parametrize("case", cases.CASES, ids=str)


def only_block(kind, case):
    return PARTS[kind]().blocks(case.objective(), case.theta())[0]


@kinds
@all_cases
def test_one_block_for_all_parameters(kind, case):
    part, matrix, _ = only_block(kind, case)
    truth = getattr(Truth(case), kind)(case.theta())
    assert part == slice(0, case.network().n_params)
    assert cases.relative_error(matrix.entries(), truth) < 1e-10
    assert np.array_equal(matrix.entries(), matrix.entries().T)


@kinds
@all_cases
def test_one_block_a_layer(kind, case):
    truth = getattr(Truth(case), kind)(case.theta())
    blocks = PARTS[kind]("layer").blocks(case.objective(), case.theta())
    assert tuple(block.parameters for block in blocks) == case.network().layer_slices
    for part, matrix, _ in blocks:
        np.testing.assert_allclose(
            matrix.entries(), truth[part, part], rtol=0, atol=1e-11 * np.abs(truth).max()
        )


@kinds
@all_cases
@pytest.mark.parametrize("partition", ["full", "layer"])
def test_products_need_no_entries(kind, case, partition):
    for part, matrix, _ in PARTS[kind](partition).blocks(case.objective(), case.theta()):
        v = np.random.default_rng(0).standard_normal(part.stop - part.start)
        product = matrix.product(v)
        assert not matrix.assembled
        expected = matrix.entries() @ v
        np.testing.assert_allclose(product, expected, rtol=0, atol=1e-11 * (1 + np.abs(expected).max()))


@kinds
@all_cases
@pytest.mark.parametrize("partition", ["full", "layer"])
def test_where_there_is_a_factor_it_gives_the_matrix(kind, case, partition):
    for _, matrix, _ in PARTS[kind](partition).blocks(case.objective(), case.theta()):
        G = matrix.factor()
        if G is None:
            assert kind == "hessian" or not case.network().loss.is_convex
            continue
        assert G.shape == (matrix.rank, matrix.n)
        rebuilt = G.T @ G + np.diag(matrix.factor_diagonal)
        assert cases.relative_error(rebuilt, matrix.entries()) < 1e-12


@kinds
@all_cases
def test_what_is_called_semidefinite_is(kind, case):
    matrix = only_block(kind, case).matrix
    lowest, *_, highest = np.linalg.eigvalsh(matrix.entries())
    assert not matrix.semidefinite or lowest > -1e-13 * highest
    assert matrix.semidefinite == (
        kind == "empirical_fisher" or kind == "gauss_newton" and case.network().loss.is_convex
    )


@kinds
@pytest.mark.parametrize("case", cases.SINGLE_PRECISION, ids=str)
def test_single_precision(kind, case):
    matrix = only_block(kind, case).matrix
    assert matrix.dtype == np.float32
    assert matrix.product(case.theta()).dtype == np.float32
    assert matrix.entries().dtype == np.float32
    G = matrix.factor()
    assert G is None or G.dtype == np.float32


def test_a_product_is_priced_above_its_matrix_products_and_at_least_as_a_call():
    assert priced_flops(1e9) == 2e9
    assert priced_flops(10.0) == priced_flops(0.0) > 1e6


@kinds
def test_costs_are_positive_and_grow_with_the_samples(kind):
    case = cases.NETS[3]
    few, many = (only_block(kind, case.but(n=n)).matrix for n in (500, 5000))
    for name in ("assembly_flops", "factor_flops"):
        if getattr(many, name):
            assert 8 < getattr(many, name) / getattr(few, name) <= 10.001
    assert 1 <= many.product_flops / few.product_flops <= 10.001  # a small product costs a call
    assert many.assembly_flops > many.n * many.n


@kinds
def test_theta_is_copied(kind):
    case = cases.NETS[3]
    theta = case.theta()
    matrix = PARTS[kind]().blocks(case.objective(), theta)[0].matrix
    theta *= 3
    assert np.array_equal(matrix.entries(), only_block(kind, case).matrix.entries())


@kinds
def test_a_name_gives_its_part(kind):
    part = resolve_curvature(kind, "layer")
    assert type(part) is PARTS[kind]
    assert part.get_params()["partition"] == "layer"
    assert clone(part).partition == "layer"


def test_an_object_with_blocks_is_taken_as_it_is():
    part = GaussNewton("layer")
    assert resolve_curvature(part) is part


@pytest.mark.parametrize("wrong", ["newton", "auto", None, 3, Hessian])
def test_anything_else_is_refused(wrong):
    with pytest.raises(ValueError, match="`curvature` must be one of .*empirical_fisher.*blocks"):
        resolve_curvature(wrong)


def test_unknown_partition_is_refused():
    with pytest.raises(ValueError, match="`partition` must be .*'rows'"):
        resolve_curvature("hessian", "rows")
    with pytest.raises(ValueError, match="`partition` must be .*'rows'"):
        Hessian("rows").blocks(cases.NETS[0].objective(), cases.NETS[0].theta())


@pytest.mark.parametrize("case", [cases.NETS[3], *cases.DATA], ids=str)
@pytest.mark.parametrize("chunk_bytes", [1500, 2**28])
def test_fisher_and_factors_add_over_chunks(case, chunk_bytes):
    theta = case.theta()
    whole, chunked = (
        EmpiricalFisher().blocks(case.objective(b), theta)[0].matrix for b in (2**28, chunk_bytes)
    )
    assert cases.relative_error(chunked.entries(), whole.entries()) < 1e-13
    by_sample = gradient_gram(case.objective(chunk_bytes), theta, temporary_bytes=1)
    assert cases.relative_error(by_sample + np.diag(whole.factor_diagonal), whole.entries()) < 1e-13
    by_sample = jacobian_gram(case.objective(chunk_bytes), theta, temporary_bytes=1)
    by_sample += np.diag(whole.factor_diagonal)
    assert cases.relative_error(by_sample, Truth(case).gauss_newton(theta)) < 1e-12
    for kind in (EmpiricalFisher, GaussNewton):
        one, many = (kind().blocks(case.objective(b), theta)[0].matrix.factor() for b in (2**28, chunk_bytes))
        assert cases.relative_error(many, one) < 1e-12


@pytest.mark.parametrize("case", [case for case in cases.CASES if case.network().loss.is_convex], ids=str)
def test_both_ways_to_gauss_newton_agree(case):
    theta, penalty = case.theta(), only_block("gauss_newton", case).matrix.factor_diagonal
    by_factor = jacobian_gram(case.objective(), theta) + np.diag(penalty)
    assert cases.relative_error(assemble(case.objective(), theta, exact=False), by_factor) < 1e-12
    for layer, part in enumerate(case.network().layer_slices):
        np.testing.assert_allclose(
            jacobian_gram(case.objective(), theta, layer) + np.diag(penalty[part]),
            by_factor[part, part],
            rtol=0,
            atol=1e-13 * np.abs(by_factor).max(),
        )


def test_the_cheaper_way_to_gauss_newton_is_taken():
    """One output: rows of the Jacobian; many outputs: blocks, which do not grow with the square of these."""
    one = cases.Case("one output", (10, 16, 16, 1), ("tanh", "tanh"), n=1000)
    many = cases.Case("ten outputs", (10, 16, 16, 10), ("tanh", "tanh"), n=1000)
    for case, by_factor in ((one, True), (many, False)):
        network = case.network()
        flops = only_block("gauss_newton", case).matrix.assembly_flops
        assert (flops == gram_flops(network, case.n * case.widths[-1])) is by_factor
        assert (flops == assembly_flops(network, case.n, exact=False)) is not by_factor
