"""Seeded fuzzer of the two estimators: ``python tests/fuzz.py --fits 20000 --seed 0 --jobs 2``.

Every case of `fuzz_cases` is fitted, and fitted again. These promises must hold:

- the only exception is a `ValueError` that names a parameter of the user, in backquotes;
- the only warnings are `ConvergenceWarning` and, for a column as y, scikit-learn's `DataConversionWarning`; a fit that
  has not converged warns unless the user asked for its ending; a fit that has converged does not warn;
- the model and its predictions are finite; `loss_` is the objective at the model;
- the loss does not end above its start if the step control is monotone and every step takes all the data;
- `converged_` only if no gradient entry of the whole objective exceeds `tol` (beyond rounding errors);
- the same call gives the same model to the last bit; so do a pickle, an estimator that was fitted before, and a
  checkpoint; predictions do not change with `set_params`;
- neither the data nor the settings are modified.

Violations are grouped by cause, shrunk to the fewest settings that still show them, and printed with the call that
reproduces each: ``python tests/fuzz.py --case "Case(...)"``.
"""

import argparse
import contextlib
import io
import multiprocessing
import os
import pickle
import re
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass, fields
from pathlib import Path

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # the matrices are tiny, and the processes share the cores

import numpy as np
from fuzz_cases import Case, draw
from fuzz_oracle import judge
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning
from sklearn.utils import check_random_state

from qnewton_sk.nets import Network, resolve_activation, resolve_loss

MAX_SECONDS = 60.0
"""Processor time after which a case counts as one that hangs; they take some 30 ms,
and 40 s if a quantum solve by a polynomial of degree 1e6 stands in each of 60 steps."""

ASKED_ENDINGS = {"converged", "early_stopping", "one_pass", "callback", "evidence"}
"""Endings that call for no warning: either there is nothing to warn of, or the user has asked for the end."""

ENDINGS = ASKED_ENDINGS | {
    *(
        "saddle",
        "no_improvement",
        "max_iter",
        "interrupted",
        "stalled",
        "diverged",
        "solver_failed",
        "error",
        "saturated",
    )
}
"""All documented values of `stop_reason_`."""

FIT_ARGUMENTS = {"X", "y", "sample_weight", "X_val", "y_val", "classes"}

OTHER_SETTINGS = {
    "hidden_layer_sizes": (7,),
    "activation": "softplus",
    "loss": "poisson",
    "alpha": 3.0,
    "batch_size": 3,
    "curvature": "hessian",
    "class_weight": "balanced",
    "posterior": None,
}
"""Settings that are set after a fit and may not change what it predicts."""


class Hangs(BaseException):
    """A case that took longer than `MAX_SECONDS`."""


@dataclass(frozen=True)
class Violation:
    """A promise that a case broke; `cause` is the same for cases that break it in the same way."""

    promise: str
    cause: str
    detail: str


class Verdict:
    """What became of one case: violations, or the reason why it was refused, and how it ended."""

    def __init__(self):
        self.violations = []
        self.refusal = None
        self.ending = None

    def expect(self, holds, promise, cause="", detail=""):
        """Note a violation unless `holds`."""
        if not holds:
            self.violations.append(Violation(promise, str(cause), str(detail)))


def check(case):
    """Fit a case in every way that the promises are about, and return the `Verdict`."""
    verdict = Verdict()
    before = signal.signal(signal.SIGVTALRM, _hangs) if hasattr(signal, "SIGVTALRM") else None
    if before is not None:
        signal.setitimer(signal.ITIMER_VIRTUAL, MAX_SECONDS)
    try:
        _check(case, verdict)
    except Hangs as error:
        verdict.expect(False, "every fit ends", _site(error), f"no end within {MAX_SECONDS} s")
    finally:
        if before is not None:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.signal(signal.SIGVTALRM, before)
    return verdict


def _hangs(number, frame):
    raise Hangs


def _check(case, verdict):
    data = case.data()
    copies = [_copied(part) for part in data]
    estimator = case.estimator()
    settings = _settings_of(estimator)
    fitted = _fitted(case, estimator, data, verdict)
    unchanged = all(_equal(part, copy) for part, copy in zip(data, copies))
    verdict.expect(unchanged, "data are not modified")
    verdict.expect(_settings_of(estimator) == settings, "settings are not modified")
    if not fitted:
        return
    verdict.ending = estimator.stop_reason_
    _check_model(case, estimator, data, verdict)
    _check_predictions(case, estimator, data, verdict)
    _check_again(case, estimator, data, verdict)


def _fitted(case, estimator, data, verdict):
    """Fit; return whether it did, with the exceptions and warnings judged."""
    with _recorded() as caught:
        try:
            _call(case, estimator, data)
        except ValueError as error:
            if _names_a_parameter(error, estimator):
                verdict.refusal = re.sub(r"got .*", "got ...", str(error), flags=re.S)[:100]
            else:
                verdict.expect(False, "a ValueError names a parameter", _site(error), _last_line(error))
            return False
        except Exception as error:
            verdict.expect(False, f"no {type(error).__name__}", _site(error), _last_line(error))
            return False
    _check_warnings(case, estimator, caught, verdict)
    return True


def _call(case, estimator, data):
    """Call `fit`, or the method that this case uses instead."""
    X, y, weight, X_val, y_val = data
    rest = dict(sample_weight=weight, X_val=X_val, y_val=y_val)
    if case.call == "partial":
        classes = {}
        if case.is_classification and case.task != "multilabel":
            classes = dict(classes=np.unique(case.plain()[1]))
        for _ in range(3):
            estimator.partial_fit(X, y, **classes, **rest)
        return
    if case.call == "reused":
        other = case.but(n=case.n + 2, seed=case.seed + 1).data()
        estimator.fit(other.X, other.y)
    if case.call == "warm":
        estimator.set_params(warm_start=True).fit(X, y, **rest)
    if case.call != "checkpoint":
        estimator.fit(X, y, **rest)
        return
    with tempfile.TemporaryDirectory() as folder:
        estimator.set_params(checkpoint=os.path.join(folder, "fit.ckpt")).fit(X, y, **rest)
        estimator.fit(X, y, **rest)
    estimator.set_params(checkpoint=None)


@contextlib.contextmanager
def _recorded():
    """Collect all warnings, and keep what `verbose` prints from the terminal."""
    with warnings.catch_warnings(record=True) as caught, contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("always")
        yield caught


def _names_a_parameter(error, estimator):
    """Whether the message has one of the user's parameters in backquotes, or is scikit-learn's own about the data."""
    known = FIT_ARGUMENTS | {name.split("__")[-1] for name in estimator.get_params(deep=True)}
    named = {word for quoted in re.findall(r"`([^`]+)`", str(error)) for word in re.findall(r"\w+", quoted)}
    if named & known:
        return True
    innermost = traceback.extract_tb(error.__traceback__)[-1].filename.replace("\\", "/")
    return "/sklearn/" in innermost and re.search(r"\b(X|y|sample|class|feature)", str(error)) is not None


def _check_warnings(case, estimator, caught, verdict):
    allowed = [ConvergenceWarning]
    if case.container == "column y":
        allowed.append(DataConversionWarning)
    for warning in caught:
        if not issubclass(warning.category, tuple(allowed)):
            where = f"{Path(warning.filename).name}:{warning.lineno}"
            cause = f"{warning.category.__name__} at {where}"
            verdict.expect(False, "no warning but ConvergenceWarning", cause, warning.message)
    reason, warned = estimator.stop_reason_, any(w.category is ConvergenceWarning for w in caught)
    verdict.expect(reason in ENDINGS, "stop_reason_ is a documented one", reason)
    if case.call == "fit":
        due = reason not in ASKED_ENDINGS
        verdict.expect(
            warned == due, f"a warning {'if' if due else 'only if'} the fit has not converged", reason
        )
    verdict.expect(estimator.converged_ <= (reason == "converged"), "converged_ goes with its reason", reason)


def _check_model(case, estimator, data, verdict):
    """The model against the objective in extended precision."""
    model = [*estimator.coefs_, *estimator.intercepts_]
    reason = estimator.stop_reason_
    finite = all(np.isfinite(part).all() for part in model)
    verdict.expect(finite, "the model is finite", reason)
    if not finite or not _trains_on_all(case, estimator):
        return
    _check_summary(case, estimator, data, verdict)
    if str(estimator.alpha).startswith("evidence"):
        return  # the penalty changes during the fit
    X, y, weight = case.plain()
    dtype = estimator.coefs_[0].dtype
    plain = X.astype(dtype), y.astype(dtype) if not case.is_classification else y, weight
    plain = (*plain[:2], None if weight is None else np.asarray(weight, dtype))
    end = judge(case, estimator, estimator.coefs_, estimator.intercepts_, plain, dtype)
    _check_convergence(estimator, end, verdict)
    if not estimator.early_stopping:
        _check_loss(estimator, end, dtype, verdict)
    is_monotone = getattr(estimator.step_control, "is_monotone", estimator.step_control != "fixed")
    in_batches = estimator.batch_size != "auto"  # a step on a batch lowers the loss of that batch alone
    if is_monotone and not in_batches and not (case.call == "reused" and _draws_on(case)):
        start = judge(case, estimator, *_start(case, estimator, dtype), plain, dtype)
        rise = end.value - start.value if np.isfinite(start.value) else -np.inf
        allowed = start.value_error + end.value_error
        verdict.expect(
            not rise > allowed,
            "the loss ends below its start",
            reason,
            f"{start.value:.6g} to {end.value:.6g}",
        )


def _trains_on_all(case, estimator):
    """Whether the objective is that of all the data; a random split for early stopping is not looked into."""
    return case.validation or not estimator.early_stopping


def _check_summary(case, estimator, data, verdict):
    """`hessian_summary_` against the eigenvalues of `hessian(X, y)`."""
    summary = estimator.hessian_summary_
    if estimator.diagnostics is True:
        verdict.expect(summary is not None, "diagnostics=True gives a summary", f"alpha={estimator.alpha!r}")
    if summary is None:
        return
    with _recorded():
        try:
            H = estimator.hessian(data.X, data.y, sample_weight=data.sample_weight)
        except Exception as error:
            verdict.expect(False, f"no {type(error).__name__} in hessian", _site(error), _last_line(error))
            return
    scale = np.abs(H).max()
    if not 0 < scale < np.inf:
        return  # inputs of 1e200 have squares that no float64 holds
    values = np.linalg.eigvalsh(np.asarray(H / scale, float))
    norm, eps = np.abs(values).max(), np.finfo(H.dtype).eps
    truth = {
        "largest_eigenvalue": values[-1],
        "smallest_eigenvalue": values[0],
        "smallest_magnitude": np.abs(values).min(),
        "trace": values.sum(),
    }
    for name, value in truth.items():
        if summary["how"].get(name) != "exact":
            continue
        off = abs(float(np.longdouble(summary[name]) / np.longdouble(scale)) - value)
        detail = f"{summary[name]:.9g}, eigvalsh {value * float(scale):.9g}"
        verdict.expect(
            off <= 1e4 * eps * norm * len(H), "hessian_summary_ is right where exact", name, detail
        )


def _check_convergence(estimator, end, verdict):
    if not estimator.converged_:
        return
    excess = np.abs(end.gradient) - end.gradient_error - 1.001 * estimator.tol
    largest = float(np.abs(end.gradient).max())
    verdict.expect(
        not excess.max() > 0,
        "converged_ only at a small gradient",
        "",
        f"{largest:.3g} > {estimator.tol:.3g}",
    )


def _check_loss(estimator, end, dtype, verdict):
    """`loss_` is the objective at the model, where the dtype can hold it."""
    if not max(abs(end.value) + end.value_error, end.largest) < np.finfo(dtype).max / 1e3:
        return
    difference = abs(np.longdouble(estimator.loss_) - end.value)
    allowed = 4 * end.value_error + float(np.finfo(dtype).tiny)
    reason = "in batches" if estimator.batch_size != "auto" else estimator.stop_reason_
    verdict.expect(
        difference <= allowed,
        "loss_ is the objective at the model",
        reason,
        f"loss_ {estimator.loss_:.9g}, objective {float(end.value):.9g}",
    )


def _start(case, estimator, dtype):
    """The parameters that the fit started from."""
    shapes = [W.shape for W in estimator.coefs_]
    widths = [shapes[0][0], *(shape[1] for shape in shapes)]
    loss = None if case.is_classification else resolve_loss(estimator.loss)
    activation = estimator.activation
    chosen = activation if isinstance(activation, (list, tuple)) else [activation] * (len(widths) - 2)
    network = Network(widths, [resolve_activation(f) for f in chosen], loss)
    return network.unpack(network.initial(check_random_state(case.estimator().random_state), dtype))


def _check_predictions(case, estimator, data, verdict):
    with _recorded() as caught:
        try:
            outputs = _outputs(case, estimator, data.X)
            restored = pickle.loads(pickle.dumps(estimator))
            again = _outputs(case, restored, data.X)
            changed = {n: v for n, v in OTHER_SETTINGS.items() if n in estimator.get_params(deep=False)}
            later = _outputs(case, restored.set_params(**changed), data.X)
            _check_posterior(case, estimator, data, verdict)
        except Exception as error:
            verdict.expect(False, f"no {type(error).__name__} in predict", _site(error), _last_line(error))
            return
    for warning in caught:
        cause = f"{warning.category.__name__} at {Path(warning.filename).name}:{warning.lineno}"
        verdict.expect(False, "no warning from predict", cause, warning.message)
    for name, value in outputs.items():
        verdict.expect(_equal(value, again[name]), "a pickle predicts the same", name)
        verdict.expect(_equal(value, later[name]), "predictions depend on fitted attributes alone", name)
        if value.dtype.kind == "f" and name != "predict_log_proba":
            # the exponential of a finite output may be infinite, as that of a fit that has diverged
            good = ~np.isnan(value) if estimator.out_activation_ == "exp" else np.isfinite(value)
            verdict.expect(good.all(), "predictions are finite", name)
    if case.is_classification:
        p = outputs["predict_proba"]
        verdict.expect(((p >= 0) & (p <= 1)).all(), "probabilities are in [0, 1]")
        if case.task != "multilabel":
            off = np.abs(p.sum(axis=1) - 1).max()
            verdict.expect(off <= 8 * np.finfo(p.dtype).eps, "probabilities add up to 1", "", off)
        verdict.expect(not np.isnan(outputs["predict_log_proba"]).any(), "log-probabilities are numbers")


def _check_posterior(case, estimator, data, verdict):
    if estimator.posterior is None or case.is_classification:
        return
    if estimator.posterior_ is None:
        verdict.expect(not estimator.converged_, "a fit that has converged leaves a posterior")
        return
    for kind in (True, "mean"):
        mean, std = estimator.predict(data.X, return_std=kind)
        good = std.shape == mean.shape and np.isfinite(std).all() and (std >= 0).all()
        verdict.expect(good, "standard deviations are finite and not negative", f"return_std={kind!r}")
    verdict.expect(np.isfinite(estimator.sample_y(data.X, 3)).all(), "draws of the posterior are finite")


def _outputs(case, estimator, X):
    names = ["predict"]
    if case.is_classification:
        names += ["predict_proba", "predict_log_proba", "decision_function"]
    return {name: getattr(estimator, name)(X) for name in names}


def _check_again(case, estimator, data, verdict):
    """The same call once more; estimators used before and checkpoints give the plain fit's model."""
    plain = case.but(call="fit") if case.call in ("reused", "checkpoint") and not _draws_on(case) else case
    other = plain.estimator()
    with _recorded():
        try:
            _call(plain, other, data)
        except Exception as error:
            verdict.expect(False, f"no {type(error).__name__} in a refit", _site(error), _last_line(error))
            return
    same = all(
        np.array_equal(a, b, equal_nan=True)
        for a, b in zip(
            [*estimator.coefs_, *estimator.intercepts_, estimator.loss_curve_],
            [*other.coefs_, *other.intercepts_, other.loss_curve_],
        )
    )
    verdict.expect(same, "the same call gives the same model", case.call)


def _draws_on(case):
    """Whether a generator of random numbers goes on from one fit to the next, as it should."""
    return "RandomState" in case.settings.get("random_state", "")


# -- helpers -------------------------------------------------------------------------------------------------


def _settings_of(estimator):
    """The settings in text, without those that a way of calling sets itself."""
    settings = estimator.get_params(deep=True)
    return repr({name: settings[name] for name in settings if name not in ("warm_start", "checkpoint")})


def _copied(part):
    return (
        part.copy()
        if hasattr(part, "copy") and not isinstance(part, list)
        else pickle.loads(pickle.dumps(part))
    )


def _equal(a, b):
    if sparse.issparse(a):
        return type(a) is type(b) and _equal(a.data, b.data) and _equal(a.indices, b.indices)
    if a is None or np.isscalar(a):
        return a is b or a == b
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _site(error):
    """Module and function of the package in which an exception was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "qnewton_sk" in f.filename.replace("\\", "/").split("/")]
    if not own:
        return "outside of the package"
    path = own[-1].filename.replace("\\", "/").rsplit("/qnewton_sk/", 1)[1]
    return f"{type(error).__name__} in {path}:{own[-1].name}"


def _last_line(error):
    return str(error).strip().replace("\n", " ")[:200]


# -- runs ----------------------------------------------------------------------------------------------------


def run(seed, indices):
    """Check the cases of these numbers; return (number of cases, refusals, endings, [(index, Violation)])."""
    refusals, endings, found = Counter(), Counter(), []
    for index in indices:
        verdict = check(draw(seed, index))
        found += [(index, violation) for violation in verdict.violations]
        endings[verdict.ending or ("refused" if verdict.refusal else "failed")] += 1
        if verdict.refusal:
            refusals[re.sub(r"\d[\d.e+-]*", "#", verdict.refusal)] += 1
    return len(indices), refusals, endings, found


def shrink(case, violation, max_checks=80, max_seconds=60.0):
    """Return the smallest case found that breaks the same promise for the same cause."""
    checks, end = 0, time.monotonic() + max_seconds

    def still(smaller):
        nonlocal checks
        checks += 1
        try:
            return any(
                (v.promise, v.cause) == (violation.promise, violation.cause)
                for v in check(smaller).violations
            )
        except Exception:  # a smaller case that cannot be drawn
            return False

    changed = True
    while changed and checks < max_checks:
        changed = False
        for smaller in _smaller(case):
            if checks >= max_checks or time.monotonic() > end:
                return case
            if still(smaller):
                case, changed = smaller, True
                break
    return case


def _smaller(case):
    """Yield cases with one setting or feature fewer, the largest reductions first."""
    default = Case()
    for f in fields(case):
        if f.name not in ("task", "settings", "n") and getattr(case, f.name) != getattr(default, f.name):
            if not (f.name == "outputs" and case.is_classification):
                yield case.but(**{f.name: getattr(default, f.name)})
    for name in case.settings:
        if name != "random_state":  # without it, no two fits are the same
            yield case.but_setting(name)
    for n in (case.n // 2, case.n - 1):
        if 1 <= n < case.n:
            yield case.but(n=n)
    if case.settings.get("hidden_layer_sizes", "()") not in ("()", "(1,)"):
        yield case.but_setting("hidden_layer_sizes", "()")
        yield case.but_setting("hidden_layer_sizes", "(1,)")


def _worker(task):
    return run(*task)


def _chunks(seed, fits, first, size=20):
    return [(seed, range(i, min(i + size, first + fits))) for i in range(first, first + fits, size)]


def fuzz(seed, fits, jobs=1, first=0, report=print):
    """Run `fits` cases on `jobs` processes; return refusals, endings and the violations by promise and cause."""
    refusals, endings, groups = Counter(), Counter(), defaultdict(list)
    start, done, told = time.monotonic(), 0, 0.0
    context = multiprocessing.get_context("spawn")
    with context.Pool(jobs) if jobs > 1 else contextlib.nullcontext() as pool:
        tasks = _chunks(seed, fits, first)
        results = pool.imap_unordered(_worker, tasks) if pool else map(_worker, tasks)
        for count, refused, ended, found in results:
            done += count
            refusals += refused
            endings += ended
            for index, violation in found:
                groups[violation.promise, violation.cause].append((index, violation))
            seconds = time.monotonic() - start
            if seconds - told > 10 or done == fits:
                told = seconds
                broken = sum(len({i for i, _ in group}) for group in groups.values())
                rate = f"{done / seconds:.1f} per second"
                report(f"{done} of {fits} cases, {rate}, {broken} violations, {len(groups)} causes")
    return refusals, endings, groups


def report_on(seed, groups, shrinks=True):
    """Yield one paragraph per cause, the most frequent first."""
    for (promise, cause), found in sorted(groups.items(), key=lambda item: -len(item[1])):
        index, violation = min(found, key=lambda item: item[0])
        case = draw(seed, index)
        small = shrink(case, violation) if shrinks else case
        detail = next(
            (v.detail for v in check(small).violations if (v.promise, v.cause) == (promise, cause)), ""
        )
        numbers = sorted({i for i, _ in found})
        yield (
            f"{len(numbers)} x {promise}: {cause}\n    {detail}\n    seed {seed}, cases {numbers[:8]}\n"
            f'    python tests/fuzz.py --case "{small!r}"\n'
        )


def main(arguments=None):
    """Run the fuzzer from the command line; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fits", type=int, default=2000, help="number of cases")
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="number of processes")
    parser.add_argument("--output", type=Path, help="file to which the violations are written too")
    parser.add_argument("--no-shrink", action="store_true", help="report the violations as they were found")
    parser.add_argument("--case", help="check this case alone")
    options = parser.parse_args(arguments)
    if options.case:
        case = draw(options.seed, int(options.case)) if options.case.isdigit() else eval(options.case)
        verdict = check(case)
        print(f"{case!r}\nended: {verdict.ending}, refused: {verdict.refusal}")
        for violation in verdict.violations:
            print(f"{violation.promise}: {violation.cause}\n    {violation.detail}")
        return int(bool(verdict.violations))
    refusals, endings, groups = fuzz(
        options.seed, options.fits, options.jobs, options.first, lambda line: print(line, flush=True)
    )
    lines = [f"endings: {dict(endings.most_common())}", "refusals:"]
    lines += [f"    {count} x {message}" for message, count in refusals.most_common()]
    lines += [
        "violations:" if groups else "no violation",
        *report_on(options.seed, groups, not options.no_shrink),
    ]
    print("\n".join(lines))
    if options.output:
        options.output.write_text("\n".join(lines) + "\n")
    return int(bool(groups))


if __name__ == "__main__":
    sys.exit(main())
