"""What a step on W workers costs: a model with constants measured here, checked on the workers of this machine.

    python benchmarks/on_workers.py                        # 1, 2 and 4 worker processes, minutes
    python benchmarks/on_workers.py --quick                # 1 and 2 worker processes, few rows
    python benchmarks/on_workers.py --figure scaling.png   # and the model drawn to 1000 workers and 10^10 rows

A step is a sum over the samples: the parameters go out (broadcast), every worker computes on its rows, the results
are added up in a tree of FAN_IN branches (reduction), and the client solves. The scheduler of dask takes a time per
task (scheduling) and a call has a latency. The model adds these up, for three kinds of step: a gradient, a Newton step
with the assembled Hessian, and a Newton step by conjugate gradients, each product of which is a sum over the samples.

First the losses of a fit on the cluster are compared with those in memory. Then the constants are measured, each by
itself: latency and seconds per task from sums of nothing, bytes per second from sums of large arrays, seconds per
sample from one worker's gradients, products and assemblies, and the rate of the solve from a Cholesky factorisation.
Last the model is compared with whole sums on 1, 2 and 4 workers. With more workers than cores the model is too low.
"""

import math
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from _common import interleaved, limit_threads, parser, print_table, quiet, timed, write_csv
from scipy.linalg import cho_factor

from qnewton_sk import Hessian, QNewtonRegressor
from qnewton_sk.data.graph import FAN_IN, tree

FEATURES, HIDDEN = 20, (32, 32)
PARTS_PER_WORKER = 4
PRODUCTS = 20
"""Products of a solve by conjugate gradients; about 20 are typical of a step (`MAX_STEP_COST` in curvature/auto.py)."""


@dataclass(frozen=True)
class Constants:
    """What the model rests on, all in seconds, bytes and single cores.

    Parameters
    ----------
    latency_seconds : float
        Of one sum over the cluster that does nothing.
    task_seconds : float
        Of the scheduler and the client, per task.
    bytes_per_second : float
        From one process to another.
    gradient_seconds, product_seconds, assembly_seconds : float
        Per sample.
    solve_flops_per_second : float
        Of a Cholesky factorisation on the client.
    """

    latency_seconds: float
    task_seconds: float
    bytes_per_second: float
    gradient_seconds: float
    product_seconds: float
    assembly_seconds: float
    solve_flops_per_second: float


def sum_terms(constants, workers, samples, seconds_per_sample, n_params, out_bytes):
    """Return {term: seconds} of one sum over the samples whose result has so many bytes."""
    parts = PARTS_PER_WORKER * workers
    tasks = parts * FAN_IN / (FAN_IN - 1)
    per_level = (FAN_IN - 1) * out_bytes / constants.bytes_per_second
    return {
        "latency": constants.latency_seconds,
        "scheduling": tasks * constants.task_seconds,
        "broadcast": math.ceil(math.log2(workers)) * 8 * n_params / constants.bytes_per_second,
        "compute": samples / workers * seconds_per_sample,
        "reduction": math.ceil(round(math.log(workers, FAN_IN), 9)) * per_level,
        "solve": 0.0,
    }


def step_terms(constants, kind, workers, samples, n_params):
    """Return {term: seconds} of a step: "gradient", "newton" (assembled) or "newton-cg"."""
    vector = (n_params, 8 * n_params)
    terms = sum_terms(constants, workers, samples, constants.gradient_seconds, *vector)
    if kind == "newton":
        matrix = (n_params, 8 * n_params**2)
        terms = _plus(terms, sum_terms(constants, workers, samples, constants.assembly_seconds, *matrix), 1)
        terms["solve"] = n_params**3 / 3 / constants.solve_flops_per_second
    elif kind == "newton-cg":
        product = sum_terms(constants, workers, samples, constants.product_seconds, *vector)
        terms = _plus(terms, product, PRODUCTS)
    return terms


def _plus(terms, more, times):
    return {name: seconds + times * more[name] for name, seconds in terms.items()}


def problem(samples):
    """Return float32 inputs and a target with some noise."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((samples, FEATURES), dtype=np.float32)
    return X, np.sin(X[:, 0]) * X[:, 1] + 0.1 * rng.standard_normal(samples, dtype=np.float32)


@contextmanager
def cluster(workers, memory_limit="auto"):
    """Run sums on so many processes of one thread and at most so many bytes each; yield the client."""
    from distributed import Client, LocalCluster

    each = dict(threads_per_worker=1, memory_limit=memory_limit)
    with LocalCluster(n_workers=workers, processes=True, dashboard_address=None, **each) as processes:
        with Client(processes) as client:
            yield client


def objective_on(X, y, parts):
    """Return the training objective of the data in so many chunks, and parameters to start from."""
    import dask.array as da

    model = QNewtonRegressor(HIDDEN, random_state=0)
    rows = -(-len(X) // parts)
    data = model._read(da.from_array(X, chunks=(rows, -1)), da.from_array(y, chunks=rows), None, reset=True)
    network = model._network(FEATURES, 1)
    return model._objective(network, data), network.initial(np.random.RandomState(0), X.dtype)


def sums(objective, theta):
    """Return the three kinds of sum over the samples, each at parameters that no one has seen before."""
    counter = iter(range(1, 10**9))

    def fresh():
        return theta + np.float32(1e-3) * next(counter)

    def products():
        matrix, v = Hessian().blocks(objective, fresh())[0].matrix, np.ones_like(theta)
        for _ in range(PRODUCTS):
            matrix.product(v)

    return {
        "gradient": lambda: objective.value_and_grad(fresh()),
        "products": products,
        "assembly": lambda: Hessian().blocks(objective, fresh())[0].matrix.entries(),
    }


def nothing(part, shared):
    """Return zeros of as many numbers as are asked for, or a number."""
    return np.zeros(shared) if shared else 0.0


def added(results):
    """Return the sum."""
    return sum(results)


def measured(client_of, X, y, repeats):
    """Return the `Constants` of this machine."""
    import dask

    def sum_seconds(parts, numbers):
        objects = list(dask.persist(*[dask.delayed(float)(k) for k in range(parts)]))
        return interleaved({"": lambda: tree(nothing, objects, numbers, added)}, repeats)[""]

    with client_of(2):
        few, many = sum_seconds(FAN_IN, 0), sum_seconds(64 * FAN_IN, 0)
        task_seconds = (many - few) / (63 * FAN_IN * FAN_IN / (FAN_IN - 1))
        latency_seconds = max(few - FAN_IN * task_seconds, 0.0)
        numbers = 2**22
        moved = sum_seconds(FAN_IN, numbers) - few
        bytes_per_second = (FAN_IN // 2 + 1) * 8 * numbers / moved  # half of them, and the result
    with client_of(1):
        objective, theta = objective_on(X, y, PARTS_PER_WORKER)
        runs = sums(objective, theta)
        for run in runs.values():
            run()  # so that every worker has imported what it needs
        each = interleaved(runs, repeats)
    overhead = latency_seconds + PARTS_PER_WORKER * task_seconds
    A = np.eye(1500) + 1e-3
    _, factorise = timed(lambda: cho_factor(A))
    return Constants(
        latency_seconds,
        task_seconds,
        bytes_per_second,
        max(each["gradient"] - overhead, 0.0) / len(X),
        max(each["products"] / PRODUCTS - overhead, 0.0) / len(X),
        max(each["assembly"] - overhead, 0.0) / len(X),
        len(A) ** 3 / 3 / factorise,
    )


def comparison(client_of, constants, X, y, workers, repeats):
    """Return one row per number of workers and kind of sum: measured and modelled seconds."""
    rows = []
    for count in workers:
        with client_of(count):
            objective, theta = objective_on(X, y, PARTS_PER_WORKER * count)
            runs = sums(objective, theta)
            for run in runs.values():
                run()
            seconds = interleaved(runs, repeats)
        n = theta.size
        for name, taken in seconds.items():
            kind = {"gradient": "gradient", "products": "product", "assembly": "assembly"}[name]
            per_sample = getattr(constants, f"{kind}_seconds")
            out = 8 * n * n if name == "assembly" else 8 * n
            terms = sum_terms(constants, count, len(X), per_sample, n, out)
            modelled = sum(terms.values()) * (PRODUCTS if name == "products" else 1)
            rows.append(dict(workers=count, sum=name, measured=taken, modelled=modelled))
    return rows


def same_losses(client_of, X, y):
    """Return the largest relative difference of the losses of three steps from those in memory."""
    import dask.array as da

    settings = dict(
        hidden_layer_sizes=(8,), curvature="gauss_newton", max_iter=3, random_state=0, diagnostics=False
    )
    with quiet(), client_of(2):
        rows = -(-len(X) // 5)
        wide = X.astype(float)
        alone = QNewtonRegressor(**settings).fit(wide, y)
        together = QNewtonRegressor(**settings).fit(da.from_array(wide, chunks=(rows, -1)), y)
    return max(abs(a / b - 1) for a, b in zip(together.loss_curve_, alone.loss_curve_))


def forecast(constants, samples, n_params):
    """Return one row per kind of step and number of workers, with the term that takes the longest."""
    rows = []
    for kind in ("gradient", "newton", "newton-cg"):
        for workers in (1, 4, 16, 64, 256, 1000):
            terms = step_terms(constants, kind, workers, samples, n_params)
            longest = max(terms, key=terms.get)
            rows.append(dict(step=kind, workers=workers, **terms, total=sum(terms.values()), longest=longest))
    return rows


def draw(path, constants, n_params):
    """Write a figure of the seconds per step over the workers, for some numbers of rows."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.5), sharey=True, layout="constrained")
    counts = np.unique(np.geomspace(1, 1000, 25).astype(int))
    for axis, kind in zip(axes, ("gradient", "newton", "newton-cg")):
        for samples in (1e6, 1e8, 1e10):
            totals = [sum(step_terms(constants, kind, int(w), samples, n_params).values()) for w in counts]
            axis.loglog(counts, totals, label=f"{samples:.0e} rows")
        axis.set(title=kind, xlabel="workers")
    axes[0].set_ylabel("modelled seconds per step")
    axes[0].legend()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main():
    """Run the benchmark."""
    arguments = parser(__doc__)
    arguments.add_argument("--figure", metavar="FILE", help="draw the model there")
    options = arguments.parse_args()
    limit_threads(max(options.threads, 2))
    X, y = problem(20_000 if options.quick else 200_000)
    workers = (1, 2) if options.quick else (1, 2, 4)
    print(f"largest relative difference of the losses: {same_losses(cluster, X[:5000], y[:5000]):.1e}")
    constants = measured(cluster, X, y, options.repeats)
    print_table("constants", ["constant", "value"], [[k, v] for k, v in vars(constants).items()])
    rows = comparison(cluster, constants, X, y, workers, options.repeats)
    header = list(rows[0])
    print_table(
        f"{len(X)} rows on this machine, seconds", header, [[row[name] for name in header] for row in rows]
    )
    n_params = QNewtonRegressor(HIDDEN)._network(FEATURES, 1).n_params
    predicted = forecast(constants, 1e10, n_params)
    header = list(predicted[0])
    print_table(
        f"10^10 rows, {n_params} parameters, modelled seconds per step",
        header,
        [[row[name] for name in header] for row in predicted],
    )
    write_csv(options.csv, rows + predicted)
    if options.figure:
        draw(options.figure, constants, n_params)


if __name__ == "__main__":
    main()
