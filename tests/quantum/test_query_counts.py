"""Query counts: published values, shape, ranges, and what is rejected."""

import math
import re
import sys
from decimal import ROUND_CEILING, Decimal, localcontext
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qnewton_sk import query_count
from qnewton_sk.quantum.query_counts import (
    QUERY_MODELS,
    _costa2023_at,
    jennings2023_single_run,
    query_model,
    success_probability,
)

DOCS = Path(__file__).parents[2] / "docs" / "quantum.md"
NAMES = sorted(QUERY_MODELS)
KAPPA = st.floats(3.5, 1e4)
TOL = st.floats(1e-12, 0.2)
ALPHA = st.floats(1.0, 50.0)


def test_the_models_are_those_that_the_documentation_lists():
    assert NAMES == sorted(
        [
            "jennings2023",
            "jennings2025",
            "dalzell2024",
            "costa2023",
            "costa2023_numerical",
            "costa2026",
            "childs2017",
            "hhl2009",
        ]
    )


# jennings2023 proves less success for a larger error, so a loose solve is repeated more often; childs2017
# counts whole repetitions
MONOTONY = {"jennings2023": 0.88, "childs2017": 0.9}


@pytest.mark.parametrize("name", NAMES)
def test_every_model_has_a_source_and_a_standing(name):
    model = QUERY_MODELS[name]
    assert model.name == name
    assert "arXiv:" in model.source
    assert model.standing in ("proven", "numerical", "asymptotic")
    assert model.standing == "proven" or model.note


@pytest.mark.parametrize("name", NAMES)
@given(kappa=KAPPA, tol=TOL, alpha=ALPHA, factor=st.floats(1.01, 2.0))
def test_harder_systems_take_more_queries(name, kappa, tol, alpha, factor):
    count = query_count(kappa, tol, alpha=alpha, model=name)
    least = count * MONOTONY.get(name, 1 - 1e-6)
    assert math.isfinite(count) and count >= 1
    assert query_count(kappa * factor, tol, alpha=alpha, model=name) >= least
    assert query_count(kappa, tol / factor, alpha=alpha, model=name) >= least
    assert query_count(kappa, tol, alpha=alpha * factor, model=name) >= least


@pytest.mark.parametrize(
    "name", ["jennings2025", "dalzell2024", "costa2023", "costa2023_numerical", "costa2026"]
)
@given(kappa=KAPPA, tol=TOL, alpha=ALPHA)
def test_models_stated_for_alpha_one_are_evaluated_at_alpha_kappa(name, kappa, tol, alpha):
    expected = query_count(alpha * kappa, tol, model=name)
    assert query_count(kappa, tol, alpha=alpha, model=name) == pytest.approx(expected, rel=1e-12)


@given(kappa=KAPPA, tol=TOL, alpha=ALPHA)
def test_expected_queries_are_those_of_one_run_over_its_success_probability(kappa, tol, alpha):
    expected = jennings2023_single_run(kappa, tol, alpha) / (0.39 - 0.204 * tol)
    assert query_count(kappa, tol, alpha=alpha) == pytest.approx(expected, rel=1e-14)


@given(tol=st.floats(1e-15, 0.24))
def test_the_disputed_constant_hardly_matters(tol):
    assert abs(success_probability(tol) / (0.39 - 0.201 * tol) - 1) < 2.2e-3


@given(tol=TOL, kappa=st.floats(1.0, math.sqrt(12)))
def test_small_condition_numbers_are_raised_to_the_smallest_that_the_theorem_covers(tol, kappa):
    assert query_count(kappa, tol) == query_count(math.sqrt(12), tol)
    assert query_count(min(kappa, 3.0), tol, model="costa2026") == query_count(3.0, tol, model="costa2026")


@given(kappa=KAPPA, tol=TOL, constant=st.sampled_from([1.84, 2305.0]))
def test_costa2023_is_the_minimum_over_the_filter_share(kappa, tol, constant):
    name = "costa2023" if constant == 2305.0 else "costa2023_numerical"
    grid = kappa * min(_costa2023_at(D, tol, constant) for D in np.linspace(0.01, 1.0, 991))
    assert query_count(kappa, tol, model=name) <= grid * (1 + 1e-6)
    assert query_count(kappa, tol, model=name) >= grid * (1 - 1e-3)


@given(kappa=st.floats(100, 1e4), tol=st.floats(1e-12, 1e-2))
def test_hhl_is_worst_and_the_newer_counts_fall(kappa, tol):
    counts = {name: query_count(kappa, tol, model=name) for name in NAMES}
    assert counts["dalzell2024"] < counts["jennings2023"] < counts["childs2017"]
    assert counts["costa2023_numerical"] < counts["costa2023"]
    assert tol > 1e-8 or counts["hhl2009"] > 100 * counts["jennings2023"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"kappa": "100"}, "kappa"),
        ({"tol": "1e-3"}, "tol"),
        ({"alpha": None}, "alpha"),
        ({"kappa": 0.5}, "kappa"),
        ({"kappa": math.inf}, "kappa"),
        ({"kappa": math.nan}, "kappa"),
        ({"tol": 0.0}, "tol"),
        ({"tol": 1.0}, "tol"),
        ({"tol": math.nan}, "tol"),
        ({"tol": -1e-3}, "tol"),
        ({"alpha": 0.5}, "alpha"),
        ({"alpha": math.inf}, "alpha"),
    ],
)
def test_arguments_out_of_range_are_rejected(name, arguments, word):
    asked = {"kappa": 100.0, "tol": 1e-3, "alpha": 1.0, **arguments}
    with pytest.raises(ValueError, match=rf"`{word}` must .*; got"):
        query_count(asked["kappa"], asked["tol"], alpha=asked["alpha"], model=name)


def test_a_model_is_never_extrapolated():
    with pytest.raises(ValueError, match=r"`tol` must be at most 0\.24 .*got 0\.3"):
        query_count(100.0, 0.3)
    with pytest.raises(ValueError, match=r"`kappa` must be at most 1e\+06 .*use another model"):
        query_count(2e6, 1e-3, model="costa2026")
    with pytest.raises(ValueError, match=r"`kappa` must be at most 100000 .*at alpha=10"):
        query_count(2e5, 1e-3, alpha=10.0, model="costa2026")
    assert query_count(1e6, 1e-3, model="costa2026") > 0


# -- numbers of any size -------------------------------------------------------------------------------------

MAX_FLOAT = Decimal(sys.float_info.max)
ANY_KAPPA = st.floats(1.0, 1e308) | st.floats(0, 308).map(lambda exponent: min(10.0**exponent, 1e308))
ANY_TOL = st.floats(1e-300, 0.24) | st.floats(0.7, 300).map(lambda exponent: 10.0**-exponent)


def by_decimals(name, kappa, tol, alpha):
    """The formulas once more, in decimal arithmetic that neither overflows nor cancels."""
    kappa, tol, alpha, one = Decimal(kappa), Decimal(tol), Decimal(alpha), Decimal(1)
    K, pi = alpha * kappa, Decimal("3.14159265358979323846264338327950288")
    if name == "jennings2023":
        kappa = max(kappa, Decimal(12).sqrt())
        L = (2 * kappa + 3).ln()
        walk = Decimal(133) / 125 + 4 / (25 * kappa ** (one / 3))
        adiabatic = 1741 * alpha * one.exp() / 500 * (kappa**2 + 1).sqrt() * (walk * pi * L + 1)
        filtering = Decimal(351) / 50 * L**2 * ((451 * L**2 / tol).ln() + 1)
        success = Decimal("0.39") - Decimal("0.204") * tol
        return (adiabatic + filtering + alpha * kappa * (32 / tol).ln()) / success
    if name == "jennings2025":
        return Decimal("835.4") * K + (K * (2 / ((1 + tol / 4).sqrt() - 1)).ln() + 2).to_integral(
            ROUND_CEILING
        )
    if name == "dalzell2024":
        log_ratio = ((1 - tol**2).sqrt() / tol).ln()
        return 56 * K + Decimal("1.05") * K * log_ratio + Decimal("2.78") * K.ln() ** 3 + Decimal("3.17")
    return alpha * kappa**2 / tol  # hhl2009


@pytest.mark.parametrize("name", ["jennings2023", "jennings2025", "dalzell2024", "hhl2009"])
@given(kappa=ANY_KAPPA, tol=ANY_TOL, alpha=st.floats(1.0, 1e6) | st.floats(1.0, 1e308))
def test_counts_of_any_size_are_those_of_decimal_arithmetic(name, kappa, tol, alpha):
    with localcontext() as context:
        context.prec, context.Emax, context.Emin = 700, 10**6, -(10**6)
        expected = by_decimals(name, kappa, tol, alpha)
    count = query_count(kappa, tol, alpha=alpha, model=name)
    if count == math.inf:
        assert expected > MAX_FLOAT / 1000  # a factor that overflows on the way takes the product with it
    else:
        assert count == pytest.approx(float(expected), rel=1e-9)


@pytest.mark.parametrize("name", NAMES)
@given(kappa=ANY_KAPPA, tol=ANY_TOL, alpha=st.floats(1.0, 1e308))
def test_every_model_answers_or_rejects_at_any_size_without_an_exception_or_a_warning(
    name, kappa, tol, alpha
):
    model, scalars = QUERY_MODELS[name], (np.float64(kappa), np.float64(tol), np.float64(alpha))
    if model.rejection_reason(*scalars) is None:
        count = model(*scalars)
        assert type(count) is float and count > 0
        assert count == model(kappa, tol, alpha)
        assert model(min(2 * kappa, 1.7e308), tol, alpha) >= count * MONOTONY.get(name, 1 - 1e-6)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"costa2026"}))
@pytest.mark.parametrize("tol", [5e-324, 1e-310, 1e-300])
def test_the_smallest_errors_are_counted(name, tol):
    assert 1 < query_count(10.0, tol, model=name) <= math.inf


@pytest.mark.parametrize("name", ["costa2023", "costa2023_numerical"])
def test_costa2023_is_linear_in_the_condition_number_up_to_the_largest(name):
    unit = query_count(1.0, 1e-6, model=name)
    for kappa in (1e155, 1e300):
        assert query_count(kappa, 1e-6, model=name) == pytest.approx(unit * kappa)


def test_childs2017_is_quadratic_in_the_condition_number_until_it_overflows():
    counts = [query_count(10.0**exponent, 1e-6, model="childs2017") for exponent in (100, 140, 160, 308)]
    # 8 j0 (2 pi / 4 x 2 j0) with j0^2 = s log2(4 s / tol), s = kappa^2 log2(kappa / tol)
    for count, kappa in zip(counts, (1e100, 1e140)):
        s = 2 * math.log2(kappa) + math.log2(math.log2(kappa / 1e-6))
        assert count / kappa / kappa == pytest.approx(
            8 * math.pi * math.log2(kappa / 1e-6) * (2 + s - math.log2(1e-6)), rel=1e-6
        )
    assert counts[2:] == [math.inf, math.inf]


def test_an_unknown_model_raises_an_error_that_lists_the_models():
    with pytest.raises(ValueError, match=r"`model` must be one of \['childs2017'.*got 'grover'"):
        query_count(100.0, 1e-3, model="grover")


def test_a_callable_is_a_model():
    def mine(kappa, tol, alpha):
        return alpha * kappa / tol

    assert query_count(10.0, 0.5, alpha=2.0, model=mine) == 40.0
    assert query_model(mine).name == "mine"
    with pytest.raises(ValueError, match="`kappa`"):
        query_count(0.1, 0.5, model=mine)


def test_the_table_in_the_documentation_is_what_the_functions_return():
    text = DOCS.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*?) \|[^|]*\|$", text, re.MULTILINE)
    assert sorted(name for name, *_ in rows) == NAMES
    for name, standing, cells in rows:
        at = [query_count(kappa, tol, model=name) for kappa in (1e2, 1e4) for tol in (1e-2, 1e-12)]
        assert [f"{count:.2e}" for count in at] == cells.split(" | ")
        assert standing == QUERY_MODELS[name].standing
