"""Entries and products are the same to the last bit on any number of threads."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from qnewton_sk.curvature import low_rank
from qnewton_sk.curvature.assembly import assemble
from qnewton_sk.curvature.low_rank import gradient_gram, jacobian_gram
from qnewton_sk.curvature.products import CurvatureProduct
from qnewton_sk.machine import threads
from qnewton_sk.nets import Network, Objective, SoftmaxCrossEntropy, resolve_activation

SAMPLES, FEATURES, OUTPUTS = 1100, 5, 3


def product(objective, theta):
    return CurvatureProduct(objective, theta)(np.cos(np.arange(objective.n_params)))


def objective_and_theta(dtype, density=1.0):
    rng = np.random.default_rng(0)
    network = Network([FEATURES, 6, OUTPUTS], [resolve_activation("tanh")], SoftmaxCrossEntropy())
    X = rng.standard_normal((SAMPLES, FEATURES)).astype(dtype)
    X *= rng.random(X.shape) < density ** np.arange(FEATURES)
    targets = np.eye(OUTPUTS, dtype=dtype)[rng.integers(OUTPUTS, size=SAMPLES)]
    return Objective(network, X, targets, None, 0.1), network.initial(np.random.RandomState(0), dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "make, density",
    [(assemble, 1.0), (assemble, 0.3), (gradient_gram, 1.0), (jacobian_gram, 1.0), (product, 1.0)],
)
def test_results_are_the_same_to_the_last_bit_on_one_and_two_threads(make, density, dtype, monkeypatch):
    monkeypatch.setattr(threads, "MIN_PARALLEL_FLOPS", 0.0)
    monkeypatch.setattr(low_rank, "GROUP_SAMPLES", 100)
    found = []
    for count in (1, 2, 2, 2):
        with threadpool_limits(count, "blas"):
            found.append(make(*objective_and_theta(dtype, density)).tobytes())
    assert len(set(found)) == 1


def test_terms_of_an_ordered_sum_may_arrive_in_any_order():
    terms = [np.array([10.0**k]) for k in (16, 0, -16, 0)]
    totals = set()
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)):
        total = low_rank._OrderedSum(np.zeros(1))
        for number in order:
            total.add(number, terms[number].copy())
        totals.add(float(total.value[0]))
    assert totals == {((1e16 + 1.0) + 1e-16) + 1.0}
