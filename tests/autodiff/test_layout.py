"""Nested parameters as one vector: order, groups, types, and what is refused."""

from collections import namedtuple

import autograd.numpy as np
import numpy
import pytest
from autograd import grad

from qnewton_sk.autodiff import Layout

NESTED = {
    "table": numpy.arange(6.0).reshape(2, 3),
    "layers": [{"w": numpy.ones((2, 2)), "norm": numpy.zeros(2)}, {"w": numpy.ones((1, 2)), "norm": [5, 6]}],
    "scale": 2,
}


def test_packing_and_unpacking_are_inverse():
    layout = Layout(NESTED)
    theta = numpy.arange(float(layout.n_params))
    numpy.testing.assert_array_equal(layout.pack(layout.unpack(theta)), theta)
    numpy.testing.assert_array_equal(layout.unpack(layout.start)["table"], NESTED["table"])
    assert layout.unpack(layout.start)["scale"].shape == ()
    assert layout.result(layout.start)["scale"] == 2.0


@pytest.mark.parametrize(
    "partition, first_order, sizes, last",
    [
        ("full", (), [17], 0),
        ("full", "table", [11], 6),
        ("layer", "norm", [6, 4, 2, 1], 4),
        ("layer", ["norm", ("layers", 1)], [6, 4, 1], 6),
        ({"a": ["scale", "table"], "b": "layers"}, (), [7, 10], 0),
        ({"a": "w", "b": ["scale"]}, ["table", "norm"], [6, 1], 10),
        ({"a": ("layers", 0), "b": ["scale", "table", ("layers", 1, "w")]}, ("layers", 1, "norm"), [6, 9], 2),
    ],
)
def test_groups_stand_together_and_first_order_parameters_last(partition, first_order, sizes, last):
    layout = Layout(NESTED, partition, first_order)
    assert [part.stop - part.start for part in layout.parts] == sizes
    assert layout.first_order == slice(17 - last, 17)
    theta = numpy.arange(17.0)
    covered = numpy.concatenate([theta[part] for part in (*layout.parts, layout.first_order)])
    numpy.testing.assert_array_equal(covered, theta)
    inside = [k for part in (*layout.parts, layout.first_order) for k in layout.leaves_in(part)]
    assert sorted(inside) == list(range(6))
    numpy.testing.assert_array_equal(layout.pack(layout.unpack(theta)), theta)


def test_gradients_follow_the_layout():
    layout = Layout(NESTED, first_order="table")
    g = grad(lambda t: np.sum(layout.unpack(t)["table"] ** 2) + 3 * layout.unpack(t)["scale"])(layout.start)
    found = layout.unpack(g)
    numpy.testing.assert_array_equal(found["table"], 2 * NESTED["table"])
    assert found["scale"] == 3 and (found["layers"][0]["w"] == 0).all()


def test_named_tuples_and_lists_of_numbers():
    Pair = namedtuple("Pair", "w b")
    layout = Layout(Pair([1, 2], (numpy.ones(1), 3.0)))
    found = layout.result(layout.start)
    assert isinstance(found, Pair) and isinstance(found.b, tuple)
    numpy.testing.assert_array_equal(found.w, [1.0, 2.0])
    assert Layout([1.0, 2.0]).unpack(numpy.array([3.0, 4.0])).shape == (2,)


def test_single_precision_needs_all_arrays():
    single = numpy.ones(2, numpy.float32)
    assert Layout([single, single]).dtype == numpy.float32
    assert Layout([single, numpy.ones(1)]).dtype == numpy.float64
    assert Layout([single, numpy.ones(1, int)]).dtype == numpy.float64


@pytest.mark.parametrize(
    "x0, message",
    [
        ({}, "at least one number"),
        ({"a": numpy.zeros(0)}, "at least one number"),
        ({"a": "text"}, r"finite real numbers; got dtype <U4 in x0\['a'\]"),
        ({"a": [1.0, None]}, r"got dtype object in x0\['a'\]\[1\]"),
        ({"a": numpy.array([1.0, numpy.nan])}, r"NaN or infinity in x0\['a'\]"),
        (numpy.array([1j]), "dtype complex128 in x0"),
        (None, "dtype object"),
    ],
)
def test_parameters_that_are_not_numbers_are_refused(x0, message):
    with pytest.raises(ValueError, match=f"`x0` must .*{message}"):
        Layout(x0)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"partition": "rows"}, "`partition` must be"),
        ({"partition": {}}, "`partition` must be"),
        ({"partition": {"a": "table"}}, r"must name every array once .* x0\['layers'\]\[0\]\['w'\] 0 times"),
        ({"partition": {"a": ["table", "scale"], "b": ["layers", "w"]}}, None),
        (
            {"partition": {"a": ["table", "scale", "norm"], "b": ["layers"]}},
            r"x0\['layers'\]\[0\]\['norm'\] 2 times",
        ),
        (
            {"partition": {"a": "table", "b": ["layers", "scale"]}, "first_order": "table"},
            "must not name what is in `first_order`",
        ),
        ({"partition": {"a": "tables"}}, "got 'tables'. The paths are"),
        ({"first_order": "tables"}, "`first_order` must consist of keys"),
        ({"first_order": [3]}, "`first_order` must consist of keys"),
        ({"first_order": ["table", "layers", "scale"]}, "must leave parameters"),
    ],
)
def test_selections_that_do_not_fit_are_refused(settings, message):
    if message is None:
        assert len(Layout(NESTED, **settings).parts) == 2
        return
    with pytest.raises(ValueError, match=message):
        Layout(NESTED, **settings)


def test_penalties_are_one_number_or_nested():
    layout = Layout({"w": numpy.ones((2, 2)), "b": [0.0, 0.0]})
    numpy.testing.assert_array_equal(layout.spread("alpha", 0.5), numpy.full(6, 0.5))
    nested = {"w": [[1.0, 2.0], [3.0, 4.0]], "b": 0.0}
    with pytest.raises(ValueError, match="`alpha` must be a number >= 0, or numbers nested like"):
        layout.spread("alpha", nested)
    nested["w"] = numpy.array(nested["w"])
    numpy.testing.assert_array_equal(layout.spread("alpha", nested), [1, 2, 3, 4, 0, 0])


@pytest.mark.parametrize(
    "alpha", [-1.0, numpy.nan, numpy.inf, "evidence", None, {"w": 1.0}, {"w": 1.0, "b": -1.0}, [1.0, 1.0]]
)
def test_penalties_of_another_kind_are_refused(alpha):
    layout = Layout({"w": numpy.ones((2, 2)), "b": [0.0, 0.0]})
    with pytest.raises(ValueError, match="`alpha` must be a number >= 0, or numbers nested like"):
        layout.spread("alpha", alpha)
