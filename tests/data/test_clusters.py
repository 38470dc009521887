"""Fits on clusters of processes: the same to the last bit as on threads, also if a worker is killed."""

import os
import signal
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from qnewton_sk import QNewtonClassifier, QNewtonRegressor

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(500, 4))
LABELS = (X[:, 0] * X[:, 1] > 0).astype(int)
TARGET = np.sin(X[:, 0]) + X[:, 1]


@pytest.fixture(scope="module")
def client():
    """A client of two worker processes of one thread each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the cluster's own start
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit="2GiB"
        )
        client = distributed.Client(cluster)
    yield client
    client.close()
    cluster.close()


def chunked(array):
    """The array in chunks of 120 rows; the last one is shorter."""
    return da.from_array(array, chunks=(120, *array.shape[1:]))


def fitted(make, y, **settings):
    """An estimator after a few steps on the data in chunks."""
    settings = {"hidden_layer_sizes": (5,), "random_state": 0, "max_iter": 5, "tol": 1e-12, **settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "Running on a single-machine scheduler")  # of old versions of dask
        return make(**settings).fit(chunked(X), chunked(y))


@pytest.mark.parametrize(
    "make, y, settings",
    [
        (QNewtonClassifier, LABELS, {"first_order_steps": 5}),
        (QNewtonClassifier, LABELS, {"curvature": "hessian"}),
        (QNewtonRegressor, TARGET, {"curvature": "gauss_newton"}),
    ],
)
def test_a_fit_on_processes_is_that_on_threads_to_the_last_bit(client, make, y, settings):
    with dask.config.set(scheduler="threads"):
        on_threads = fitted(make, y, **settings)
    on_processes = fitted(make, y, **settings)
    assert on_processes.loss_curve_ == on_threads.loss_curve_
    for a, b in zip(on_processes.coefs_, on_threads.coefs_):
        assert np.array_equal(a, b)


def test_predictions_and_scores_are_computed_on_the_workers(client):
    model = fitted(QNewtonClassifier, LABELS)
    assert model.score(chunked(X), chunked(LABELS)) == pytest.approx(model.score(X, LABELS), rel=1e-12)
    assert np.array_equal(model.predict(chunked(X)).compute(), model.predict(X))


def test_arrays_that_are_persisted_on_the_workers_stay_there(client):
    inputs, labels = dask.persist(chunked(X), chunked(LABELS))
    weight = client.persist(chunked(np.ones(len(X))))
    expected = fitted(QNewtonClassifier, LABELS, curvature="hessian")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = QNewtonClassifier(**expected.get_params()).fit(inputs, labels, weight)
    assert model.loss_curve_ == pytest.approx(expected.loss_curve_, rel=1e-10)
    assert model.score(inputs, labels, weight) == pytest.approx(model.score(X, LABELS), rel=1e-12)
    assert np.array_equal(model.predict(inputs).compute(), model.predict(X))
    assert model.hessian(inputs, labels) == pytest.approx(model.hessian(X, LABELS), rel=1e-9, abs=1e-13)


def test_a_worker_that_is_killed_changes_nothing(client):
    undisturbed = fitted(QNewtonRegressor, TARGET, curvature="hessian", max_iter=8)
    workers = client.run(os.getpid)
    victim = sorted(workers.values())[0]
    steps = []

    compute = dask.compute

    def killing(*arguments, **options):
        steps.append(1)
        if len(steps) == 12:
            os.kill(victim, signal.SIGKILL)
        return compute(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dask, "compute", killing)
        disturbed = fitted(QNewtonRegressor, TARGET, curvature="hessian", max_iter=8)
    assert len(steps) > 12
    assert victim not in client.run(os.getpid).values()
    assert disturbed.loss_curve_ == undisturbed.loss_curve_
    for a, b in zip(disturbed.coefs_, undisturbed.coefs_):
        assert np.array_equal(a, b)
