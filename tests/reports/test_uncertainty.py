"""Displays of uncertainty and relevance: what they draw, and what they refuse."""

import matplotlib
import numpy as np
import pytest

from qnewton_sk import QNewtonClassifier, QNewtonRegressor, RelevanceDisplay, UncertaintyDisplay

matplotlib.use("agg")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (60, 1))
    return X, np.sin(2 * X[:, 0]) + rng.normal(0, 0.1, 60)


@pytest.fixture(scope="module")
def net(data):
    return QNewtonRegressor((6,), alpha="evidence", posterior="full", random_state=0).fit(*data)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    matplotlib.pyplot.close("all")


def test_band_is_two_standard_deviations_over_the_sorted_input(net, data):
    X = data[0]
    display = UncertaintyDisplay.from_estimator(net, X, label="net")
    mean, std = net.predict(np.sort(X, axis=0), return_std=True)
    np.testing.assert_array_equal(display.line_.get_xdata(), np.sort(X[:, 0]))
    np.testing.assert_array_equal(display.line_.get_ydata(), mean)
    (band,) = display.ax_.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert heights.max() == pytest.approx((mean + 2 * std).max())
    assert heights.min() == pytest.approx((mean - 2 * std).min())


def test_calibration_curve_counts_targets_in_bands():
    rng = np.random.default_rng(0)
    y = rng.normal(1.0, 2.0, 20000)
    right = UncertaintyDisplay.from_bands(y, np.ones(20000), np.full(20000, 2.0))
    assert right.calibration_error < 0.01
    too_narrow = UncertaintyDisplay.from_bands(y, np.ones(20000), np.full(20000, 1.0))
    assert (np.asarray(too_narrow.y) < too_narrow.x).all()


def test_calibration_is_the_default_with_targets(net, data):
    display = UncertaintyDisplay.from_estimator(net, *data)
    assert display.kind == "calibration"
    assert display.ax_.get_ylabel() == "observed coverage"


def test_reliability_diagram_is_that_of_its_bins():
    p = np.array([[0.95, 0.05], [0.93, 0.07], [0.4, 0.6], [0.35, 0.65]])
    display = UncertaintyDisplay.from_predictions(["a", "b", "b", "b"], p, ["a", "b"])
    np.testing.assert_allclose(display.x, [0.625, 0.94])
    np.testing.assert_allclose(display.y, [1.0, 0.5])
    assert display.calibration_error == pytest.approx((0.375 * 2 + 0.44 * 2) / 4)


def test_reliability_is_the_default_of_a_classifier(data):
    X, y = data
    classifier = QNewtonClassifier((3,), random_state=0).fit(X, y > 0)
    display = UncertaintyDisplay.from_estimator(classifier, X, y > 0, n_bins=5)
    assert display.kind == "reliability"
    assert sum(display.counts) == len(y)


@pytest.mark.parametrize(
    "X, y, kind, message",
    [
        (np.zeros((3, 1)), None, "reliability", "`y` must be the targets"),
        (np.zeros((3, 1)), None, "histogram", "`kind` must be one of"),
    ],
)
def test_a_kind_that_does_not_match_the_data_is_refused(net, X, y, kind, message):
    with pytest.raises(ValueError, match=message):
        UncertaintyDisplay.from_estimator(net, X, y, kind=kind)


def test_band_over_several_inputs_is_refused():
    X = np.random.default_rng(0).normal(size=(30, 2))
    net = QNewtonRegressor((2,), alpha=1.0, posterior="full", random_state=0).fit(X, X.sum(1))
    with pytest.raises(ValueError, match="`X` must have one feature"):
        UncertaintyDisplay.from_estimator(net, X)


def test_relevance_is_the_scale_of_the_weights():
    display = RelevanceDisplay([4.0, 1.0, 1e8], ["a", "b", "c"]).plot()
    np.testing.assert_allclose([bar.get_width() for bar in display.bars_], [0.5, 1.0, 1e-4])
    assert display.ax_.get_xscale() == "log"
    assert [label.get_text() for label in display.ax_.get_yticklabels()] == ["a", "b", "c"]


def test_relevance_needs_a_penalty_per_input(net):
    with pytest.raises(ValueError, match='`alpha` must be "evidence_per_input"'):
        RelevanceDisplay.from_estimator(net)
