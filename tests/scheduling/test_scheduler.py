"""The choice: the cheapest of those that are able, told in full; names, hardware, and backends of one's own."""

import math
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from own_backends import FACTS, MyCost, MySolver
from sklearn.base import clone

from qnewton_sk import (
    Backend,
    Scheduler,
    Solution,
    SolveStatus,
    SystemFacts,
    SystemMatrix,
    solution_of,
)
from qnewton_sk.conditioning.prepare import prepare
from qnewton_sk.machine import FLOPS, Rates
from qnewton_sk.quantum.cost import QuantumCost
from qnewton_sk.quantum.qlsa import QLSA
from qnewton_sk.scheduling import scheduler as scheduler_module
from qnewton_sk.scheduling.backends import (
    DAMPED_SOLVES,
    TRUNCATED_DEFINITE_SOLVES,
    TRUNCATED_SOLVES,
    classical_backends,
    default_backends,
    quantum_backend,
    solves_per_exact_step,
)
from qnewton_sk.scheduling.scheduler import MIN_PRODUCTS, resolve_scheduler
from qnewton_sk.solvers.conjugate_gradients import CG
from qnewton_sk.solvers.dense import LU, DirectCost
from qnewton_sk.solvers.trust_region import MoreSorensen

CLASSICAL = [
    "lu",
    "cholesky",
    "ldl",
    "more_sorensen",
    "cholesky_single",
    "more_sorensen_single",
    "woodbury",
    "cg",
    "sparse_lu",
    "sparse_cg",
]


def backend(name="mine", seconds=1.0, *, solver=None, refuses=None, unpriced=None, kind="classical", **cost):
    return Backend(name, solver or MySolver(refuses), MyCost(seconds, unpriced, **cost), kind)


def system(n=6, shift=1.0, **settings):
    B = np.random.default_rng(0).standard_normal((n, n))
    matrix = SystemMatrix.from_entries(B @ B.T, semidefinite=True)
    return prepare(matrix, np.ones(n), 1e-8, shift, **settings)


some_facts = st.builds(
    lambda n, kappa, share, definite, shift, rank, sparse, radius, iterations: SystemFacts(
        n=n,
        kappa=kappa,
        row_nonzeros=max(1, int(share * n)),
        norm=1.0,
        max_abs=0.5,
        positive_definite=definite,
        shift=shift,
        rank=rank,
        nnz=max(1, int(share * n)) * n if sparse else None,
        radius=radius,
        iterations=iterations,
    ),
    st.integers(1, 10**5),
    st.none() | st.floats(1, 1e12) | st.just(math.inf),
    st.floats(0.001, 1),
    st.sampled_from([True, False, None]),
    st.sampled_from([0.0, 1e-3, 1.0]),
    st.none() | st.integers(1, 500),
    st.booleans(),
    st.none() | st.floats(0.1, 10),
    st.none() | st.floats(1, 100),
)


# -- the choice ----------------------------------------------------------------------------------------------


@given(some_facts, st.floats(1e-12, 0.5), st.sampled_from(["attosecond", "fault_tolerant", "ibm_sherbrooke"]))
def test_the_cheapest_backend_is_chosen_and_every_estimate_and_rejection_is_reported(facts, tol, hardware):
    scheduler = Scheduler(hardware=hardware)
    offered = scheduler.available_backends()
    decision = scheduler.choose(facts, tol, offered)
    assert set(decision.estimates) | set(decision.rejections) == {b.name for b in offered}
    assert not set(decision.estimates) & set(decision.rejections)
    assert all(decision.rejections.values())
    for b in offered:
        assert decision.rejections.get(b.name) == b.rejection_reason(facts, tol)
        if b.name in decision.estimates:
            assert decision.estimates[b.name] == b.cost(facts, tol)
    seconds = {name: estimate.seconds for name, estimate in decision.estimates.items()}
    prices = {b.name: seconds[b.name] * solves_per_exact_step(b, facts) for b in offered if b.name in seconds}
    assert prices[decision.chosen] == min(prices.values())
    classical = min((name for name in prices if name != "qlsa"), key=prices.get)
    assert decision.classical_seconds == seconds[classical]
    assert decision.quantum_seconds == seconds.get("qlsa")


@given(st.lists(st.tuples(st.floats(1e-9, 1e9), st.booleans(), st.booleans()), min_size=1, max_size=6))
def test_a_backend_that_rejects_the_system_is_never_chosen(offers):
    offered = [
        backend(
            str(i), seconds, refuses="never" if refuses else None, unpriced="no price" if unpriced else None
        )
        for i, (seconds, refuses, unpriced) in enumerate(offers)
    ]
    decision = Scheduler(offered).choose(FACTS, 1e-3)
    able = {str(i): seconds for i, (seconds, *rejections) in enumerate(offers) if not any(rejections)}
    assert set(decision.estimates) == set(able)
    assert decision.chosen == (min(able, key=able.get) if able else None)
    assert decision.classical_seconds == min(able.values(), default=None)


def test_no_backend_is_chosen_if_all_reject_the_system():
    decision = Scheduler([backend(refuses="not today")]).choose(FACTS, 1e-3)
    assert decision.chosen is None and decision.rejections == {"mine": "not today"} and not decision.estimates
    assert decision.break_even_gate_time is None and decision.max_products is None


def test_the_first_offered_wins_a_tie():
    assert Scheduler([backend("b"), backend("a")]).choose(FACTS, 1e-3).chosen == "b"


def test_faster_gates_make_the_quantum_solver_win():
    fast, slow = (Scheduler(hardware=name).choose(FACTS, 1e-6) for name in ("attosecond", "ibm_sherbrooke"))
    assert fast.chosen == "qlsa" and slow.chosen in CLASSICAL
    assert fast.quantum_seconds < fast.classical_seconds
    assert slow.quantum_seconds > slow.classical_seconds
    assert slow.quantum_seconds / fast.quantum_seconds == pytest.approx(533.33e-9 / 1e-18, rel=1e-3)


def test_at_the_break_even_gate_time_both_cost_the_same():
    lu = Backend("lu", LU(), DirectCost("lu", Rates(dict.fromkeys(FLOPS, ((16, 1e10),)))))
    cost = QuantumCost(hardware="ibm_sherbrooke")
    decision = Scheduler([lu, Backend("qlsa", QLSA(), cost, kind="quantum")]).choose(FACTS, 1e-6)
    queries = decision.estimates["qlsa"].terms["expected_queries"]
    assert decision.break_even_gate_time * queries == pytest.approx(decision.classical_seconds)


def test_without_either_kind_there_is_no_break_even():
    for offered in (classical_backends(), [quantum_backend()]):
        assert Scheduler(offered).choose(FACTS, 1e-6).break_even_gate_time is None


def test_an_unknown_condition_number_cannot_be_priced_for_the_quantum_solver():
    decision = Scheduler(hardware="attosecond").choose(replace(FACTS, kappa=None), 1e-6)
    assert decision.chosen != "qlsa" and "condition number" in decision.rejections["qlsa"]


# -- how long an iterative solver may go on ------------------------------------------------------------------


def test_an_iterative_solver_may_spend_what_a_direct_one_would():
    offered = [backend("direct", 2.0), backend("iterative", 1.0, product_seconds=0.1)]
    decision = Scheduler(offered).choose(FACTS, 1e-3)
    assert decision.chosen == "iterative" and decision.max_products == 20


def test_a_few_products_are_always_allowed():
    offered = [backend("direct", 2.0), backend("iterative", 1.0, product_seconds=1.0)]
    assert Scheduler(offered).choose(FACTS, 1e-3).max_products == MIN_PRODUCTS


@pytest.mark.parametrize(
    "offered",
    [
        [backend("direct", 1.0), backend("iterative", 2.0, product_seconds=0.1)],
        [backend("iterative", 2.0, product_seconds=0.1)],
        [backend("iterative", 2.0, product_seconds=0.1), backend("direct", 3.0, refuses="no")],
        [backend("iterative", 2.0, product_seconds=0.1), backend("direct", 3.0, kind="quantum")],
    ],
)
def test_no_limit_without_a_direct_solver_to_turn_to(offered):
    assert Scheduler(offered).choose(FACTS, 1e-3).max_products is None


def test_the_limit_reaches_the_solver():
    given = system(12, 0.0)
    scheduler = Scheduler([Backend("cg", CG(), MyCost(1.0, product_seconds=1.0)), backend("direct", 2.0)])
    decision = scheduler.choose(given.facts, given.tol)
    solution = scheduler.solve(given, decision)
    assert solution.status is SolveStatus.MAX_ITERATIONS and solution.products == MIN_PRODUCTS


# -- solving -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lu", "cholesky", "ldl", "cg", "qlsa"])
def test_the_chosen_backend_solves_the_system(name):
    given, scheduler = system(), Scheduler([b for b in default_backends("attosecond") if b.name == name])
    decision = scheduler.choose(given.facts, given.tol)
    assert decision.chosen == name
    x = np.linalg.solve(given.matrix.dense(), given.rhs)
    np.testing.assert_allclose(scheduler.solve(given, decision).x, x, rtol=1e-6, atol=1e-8)


def test_an_ideal_quantum_solution_is_that_of_the_cheapest_classical_backend():
    offered = [
        backend("dear", 3.0, solver=LU()),
        backend(seconds=2.0),
        backend("q", 1.0, solver=QLSA(), kind="quantum"),
    ]
    scheduler, given = Scheduler(offered), system()
    decision = scheduler.choose(given.facts, given.tol)
    assert (decision.chosen, decision.computed_by) == ("q", "mine")
    solution = scheduler.solve(given, decision)
    assert solution.info["note"] == "mine" and solution.info["queries"] > 0


def test_a_quantum_solution_is_that_of_the_damped_system_even_within_a_radius():
    given = system(radius=1e-3)
    scheduler = Scheduler([backend("cg", 2.0, solver=CG()), backend("q", 1.0, solver=QLSA(), kind="quantum")])
    solution = scheduler.solve(given, scheduler.choose(given.facts, given.tol))
    np.testing.assert_allclose(solution.x, np.linalg.solve(given.matrix.dense(), given.rhs), rtol=1e-5)


def test_overflow_in_a_backend_is_a_status_not_a_warning():
    class Overflows(MySolver):
        def solve(self, system):
            return solution_of(system, 1e200 * system.rhs * np.float64(1e200))

    given, scheduler = system(), Scheduler([backend(solver=Overflows())])
    solution = scheduler.solve(given, scheduler.choose(given.facts, given.tol))
    assert solution.status is SolveStatus.NON_FINITE


# -- names and backends --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, backends, tol",
    [
        ("auto", [*CLASSICAL, "qlsa"], None),
        ("classical", CLASSICAL, None),
        ("quantum", ["qlsa"], 1e-12),
        ("paper", ["lu", "qlsa"], 1e-12),
    ],
)
def test_schedulers_by_name(name, backends, tol):
    scheduler = resolve_scheduler(name)
    assert [b.name for b in scheduler.available_backends()] == backends and scheduler.tol == tol
    if name in ("quantum", "paper"):
        assert scheduler.available_backends()[-1].cost.hardware == "attosecond"


def test_the_papers_scheduler_chooses_by_kappa():
    scheduler = resolve_scheduler("paper")
    easy, hard = (
        scheduler.choose(SystemFacts(n=300, kappa=kappa, row_nonzeros=300), 1e-12).chosen
        for kappa in (10.0, 1e12)
    )
    assert (easy, hard) == ("qlsa", "lu")


def test_a_scheduler_is_taken_as_it_is():
    scheduler = Scheduler()
    assert resolve_scheduler(scheduler) is scheduler


@pytest.mark.parametrize("wrong", ["fastest", None, 3, Scheduler])
def test_unknown_schedulers_are_refused(wrong):
    with pytest.raises(ValueError, match="`scheduler` must be one of .*'auto'.* or a Scheduler; got"):
        resolve_scheduler(wrong)


@pytest.mark.parametrize("wrong", [[], ["lu"], [LU()], [None], (backend(), "qlsa"), 3, "lu"])
def test_anything_but_backends_is_refused(wrong):
    with pytest.raises(ValueError, match="`backends` must be None or a non-empty list of Backend"):
        Scheduler(wrong).available_backends()


@pytest.mark.parametrize("setting", ["hardware", "queries", "assumptions"])
def test_an_unknown_setting_is_refused_before_there_is_a_system(setting):
    with pytest.raises(ValueError, match="must"):
        Scheduler(**{setting: "abacus"}).available_backends()
    with pytest.raises(ValueError, match="must"):
        Scheduler(
            [backend(), Backend("mine", QLSA(), QuantumCost(**{setting: "abacus"}), kind="quantum")]
        ).available_backends()


def test_a_name_used_twice_is_refused():
    with pytest.raises(ValueError, match=r"`backends` must have different names; got \['lu', 'lu'\]"):
        Scheduler([backend("lu"), backend("lu")]).choose(FACTS, 1e-3)


@pytest.mark.parametrize(
    "setting, message",
    [
        ({"hardware": "abacus"}, "`hardware` must"),
        ({"queries": "none"}, "must be"),
        ({"assumptions": "hopeful"}, "`assumptions`"),
    ],
)
def test_unknown_quantum_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Scheduler(**setting).choose(FACTS, 1e-3)


def test_a_users_backend_competes():
    scheduler = Scheduler(default_backends() + [backend(seconds=1e-30)])
    given = system()
    decision = scheduler.choose(given.facts, given.tol)
    assert decision.chosen == "mine"
    assert scheduler.solve(given, decision).info == {"note": "mine"}
    dear = Scheduler(default_backends() + [backend(seconds=1e30)]).choose(given.facts, given.tol)
    assert dear.chosen != "mine" and dear.estimates["mine"].seconds == 1e30


@pytest.mark.parametrize("tol", [-1, 0, 1, 2.0, math.nan, math.inf, "x", [1e-3]])
def test_an_impossible_tolerance_is_refused_before_there_is_a_system(tol):
    with pytest.raises(ValueError, match="`tol` of a Scheduler must be None or a number in"):
        Scheduler(tol=tol).available_backends()


@pytest.mark.parametrize("seconds", [math.nan, -1.0])
def test_an_impossible_cost_rejects_its_backend_by_name(seconds):
    decision = Scheduler([backend("odd", seconds), backend("sane", 1.0)]).choose(FACTS, 1e-3)
    assert decision.chosen == "sane" and repr(seconds) in decision.rejections["odd"]


@pytest.mark.parametrize(
    "answer", [None, np.ones(6), Solution(np.ones(5), SolveStatus.SUCCESS, 0.0)], ids=str
)
def test_a_solver_that_returns_something_else_is_named(answer):
    class Wrong(MySolver):
        def solve(self, system):
            return answer

    given, scheduler = system(), Scheduler([backend(solver=Wrong())])
    with pytest.raises(ValueError, match="`solver` of the backend 'mine' must return a Solution"):
        scheduler.solve(given, scheduler.choose(given.facts, given.tol))


def test_a_quantum_solver_without_a_reference_solves_by_itself():
    given, scheduler = system(radius=1e-3), Scheduler([backend(kind="quantum")])
    solution = scheduler.solve(given, scheduler.choose(given.facts, given.tol))
    np.testing.assert_allclose(solution.x, np.linalg.solve(given.matrix.dense(), given.rhs))


def test_grid_search_reaches_into_everything():
    scheduler = clone(Scheduler(default_backends("ibm_fez"), tol=1e-3))
    assert scheduler.get_params()["tol"] == 1e-3
    assert [b.name for b in scheduler.backends] == [*CLASSICAL, "qlsa"]
    changed = clone(backend()).set_params(solver__reason="no", cost__seconds=5.0)
    assert (changed.solver.reason, changed.cost.seconds) == ("no", 5.0)


def test_choosing_does_not_change_the_scheduler():
    scheduler = Scheduler()
    before = dict(vars(scheduler))
    scheduler.choose(FACTS, 1e-6)
    assert vars(scheduler) == before


def test_the_example_runs(capsys):
    runpy.run_path(
        str(Path(__file__).parents[2] / "examples" / "extending" / "add_backend.py"), run_name="__main__"
    )
    lines = capsys.readouterr().out.splitlines()
    assert "mine is chosen" in lines[0] and "mine is chosen" not in lines[1]
    assert "solved by {'mine'" in lines[3]


@pytest.mark.parametrize(
    "needs, bounds_by, definite, solves",
    [
        ("entries", "radius", None, 1.0),
        ("products", "radius", True, TRUNCATED_DEFINITE_SOLVES),
        ("products", "radius", None, TRUNCATED_SOLVES),
        ("entries", "shift", True, 1.0),
        ("entries", "shift", False, DAMPED_SOLVES),
        ("entries", "shift", None, DAMPED_SOLVES),
        ("products", "shift", None, DAMPED_SOLVES),
    ],
)
def test_solves_that_make_less_progress_are_weighted_in_the_choice_but_not_in_the_records(
    needs, bounds_by, definite, solves
):
    solver = MySolver()
    solver.needs, solver.bounds_by = needs, bounds_by
    bounded = replace(FACTS, radius=1.0, positive_definite=definite)
    for price, chosen in ((0.99, "mine"), (1.01, "exact")):
        exact = Backend("exact", MoreSorensen(), MyCost(1.0))
        offered = [exact, Backend("mine", solver, MyCost(price / solves))]
        decision = Scheduler(offered).choose(bounded, 1e-6)
        assert decision.chosen == chosen
        assert decision.classical_seconds == {"mine": price / solves, "exact": 1.0}[chosen]
    without = Scheduler([Backend("truncated", solver, MyCost(1.0))]).choose(FACTS, 1e-6)
    assert without.classical_seconds == 1.0


def test_a_quantum_solve_is_computed_by_a_backend_that_solves_the_damped_system_exactly():
    facts = replace(FACTS, radius=1.0, positive_definite=None)
    decision = Scheduler(hardware="attosecond").choose(facts, 1e-6)
    assert decision.chosen == "qlsa" and decision.computed_by in ("cholesky", "ldl", "lu")


def test_an_ideal_quantum_solve_fails_if_no_classical_backend_can_compute_it(monkeypatch):
    monkeypatch.setattr(scheduler_module, "classical_backends", lambda rates: [backend(refuses="no room")])
    given, scheduler = system(), Scheduler([backend("q", solver=QLSA(), kind="quantum")])
    solution = scheduler.solve(given, scheduler.choose(given.facts, given.tol))
    assert solution.status is SolveStatus.FAILED and "no classical backend" in solution.info["reason"]
