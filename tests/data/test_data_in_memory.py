"""Memory maps are fitted as arrays are, and never copied as a whole."""

import tracemalloc
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from qnewton_sk import QNewtonClassifier, QNewtonRegressor
from qnewton_sk.curvature import products
from qnewton_sk.data import is_mapped, memory


@pytest.fixture
def mapped(tmp_path, monkeypatch):
    """Inputs of 80 MB in a file, beside which the memory for temporaries is small; maps of any size count as large."""
    monkeypatch.setattr(memory, "MIN_MAPPED_BYTES", 0)
    monkeypatch.setattr(memory, "CHUNK_BYTES", 2**24)
    monkeypatch.setattr(products, "KEPT_BYTES", 2**23)
    path = tmp_path / "X.npy"
    X = np.lib.format.open_memmap(path, "w+", np.float32, (200_000, 100))
    X[...] = np.random.default_rng(0).standard_normal(X.shape, dtype=np.float32)
    X.flush()
    return np.load(path, mmap_mode="r")


def fitted(make, X, y, **settings):
    """An estimator after a step or two."""
    settings = {"max_iter": 2, "first_order_steps": 2, "random_state": 0, "diagnostics": False, **settings}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make((2,), **settings).fit(X, y)


def test_views_of_a_memory_map_are_recognised(mapped):
    assert is_mapped(mapped) and is_mapped(mapped[10:]) and is_mapped(np.asarray(mapped))
    assert not is_mapped(np.ones((3, 2))) and not is_mapped([[1.0]])


def test_small_memory_maps_are_treated_as_arrays(tmp_path):
    np.save(tmp_path / "X.npy", np.ones((3, 2)))
    assert not is_mapped(np.load(tmp_path / "X.npy", mmap_mode="r"))


@pytest.mark.parametrize("make", [QNewtonClassifier, QNewtonRegressor])
def test_a_fit_on_a_memory_map_makes_no_copy_and_equals_that_on_the_array(mapped, make):
    y = (mapped[:, 0] > 0).astype(np.float32)
    settings = {"curvature": "hessian", "max_iter": 2, "first_order_steps": 1}
    tracemalloc.start()
    model = fitted(make, mapped, y, **settings)
    model.predict(mapped)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.7 * mapped.nbytes
    in_memory = fitted(make, np.array(mapped), y, **settings)
    assert model.loss_curve_ == pytest.approx(in_memory.loss_curve_, rel=1e-4)


def test_settings_that_would_copy_a_memory_map_are_refused(mapped, tmp_path):
    y = np.array(mapped[:, 0])
    with pytest.raises(ValueError, match="`early_stopping` must be False .* Pass X_val"):
        QNewtonRegressor(early_stopping=True).fit(mapped, y)
    integers = np.lib.format.open_memmap(tmp_path / "Z.npy", "w+", np.int16, (10, 3))
    with pytest.raises(ValueError, match=r"`X` must be float32 or float64 .* dask.array.from_array"):
        QNewtonRegressor().fit(integers, y[:10])


def test_a_given_validation_set_may_stop_a_fit_on_a_memory_map(mapped):
    y = np.array(mapped[:, 0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = QNewtonRegressor((2,), max_iter=1, early_stopping=True, random_state=0)
        model.fit(mapped, y, X_val=mapped[:100], y_val=y[:100])
    assert len(model.validation_scores_) == 1
