"""Data in files, on worker processes of one machine: what is gained, what it takes, and what one would use instead.

    python benchmarks/out_of_core.py                   # all questions, 10^7 rows of 20 float32, 20 minutes
    python benchmarks/out_of_core.py --quick           # few rows, a minute
    python benchmarks/out_of_core.py --only memory     # one of the questions below

The data are zarr arrays in a temporary folder, which is removed. Every process computes on one thread.

- speed-up: a gradient over all rows on two workers against one worker, on data that the workers hold.
- memory: a fit of ten steps on two workers that may each use 1.5 GB, from the files; the largest memory that the client
  and each worker have had, and the seconds of a gradient against one process that holds all data in memory. `--newton`
  of the ten steps are Gauss-Newton steps.
- peers: seconds until losses on held-out rows, given as multiples of that of the noise alone: the estimator on the
  cluster, the same after a start on some rows in memory, `MLPRegressor.partial_fit` on chunks, and torch (if it is
  installed) with Adam on mini-batches of the chunks. Time for held-out losses is not counted for the peers.
"""

import math
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import zarr
from _common import Stamps, interleaved, limit_threads, parser, print_table, quiet, timed, write_csv
from on_workers import FEATURES, HIDDEN, cluster
from sklearn.neural_network import MLPRegressor

from qnewton_sk import QNewtonRegressor

NOISE = 0.1
FLOOR = NOISE**2 / 2
"""The loss of the function that the data were made from, half the mean square of the noise."""

MULTIPLES = 2.0, 1.1, 1.01
"""Of `FLOOR`: a first impression of the function, a useful model, and one in which the noise is all that is left."""

CHUNK_ROWS = 250_000
"""20 MB of inputs, on which a gradient takes some tenths of a second: long against the milliseconds of a task."""

MEMORY_LIMIT = 1_500_000_000
"""Bytes per worker."""

SPEED_UP_ROWS = 6_000_000
"""Rows whose gradient takes over a second on two workers."""

HELD_OUT_ROWS = 20_000
STEPS = 10
TORCH_BATCH, TORCH_RATE = 1024, 1e-3


def made(rows, seed):
    """Return float32 inputs, and a target with noise that needs two of them."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, FEATURES), dtype=np.float32)
    return X, np.sin(X[:, 0]) * X[:, 1] + NOISE * rng.standard_normal(rows, dtype=np.float32)


def write(folder, rows, chunk_rows):
    """Write inputs and targets of so many rows, chunk by chunk."""
    shapes = {"X": (rows, FEATURES), "y": (rows,)}
    arrays = {
        name: zarr.open(str(folder / name), mode="w", shape=s, chunks=(chunk_rows, *s[1:]), dtype="f4")
        for name, s in shapes.items()
    }
    for number, start in enumerate(range(0, rows, chunk_rows)):
        part = slice(start, min(start + chunk_rows, rows))
        arrays["X"][part], arrays["y"][part] = made(part.stop - start, number)


def stored(folder):
    """Return the dask arrays of the files."""
    return da.from_zarr(str(folder / "X")), da.from_zarr(str(folder / "y"))


def chunks(folder):
    """Yield (X, y) of one chunk of the files after the other."""
    X, y = stored(folder)
    for inputs, targets in zip(X.blocks, y.blocks):
        yield inputs.compute(scheduler="synchronous"), targets.compute(scheduler="synchronous")


@contextmanager
def files(rows, chunk_rows):
    """Write the data into a temporary folder, in a process of its own, since it would count as memory of this one."""
    with tempfile.TemporaryDirectory() as folder:
        with own_process() as process:
            process.submit(write, Path(folder), rows, chunk_rows).result()
        yield Path(folder)


def own_process(threads=1):
    """Return a pool of one fresh process, which computes on so many threads."""
    spawn = get_context("spawn")
    return ProcessPoolExecutor(1, mp_context=spawn, initializer=limit_threads, initargs=(threads,))


def gradients(X, y):
    """Return a call that takes the gradient of the training objective at parameters that no one has seen before."""
    model = QNewtonRegressor(HIDDEN, random_state=0)
    data = model._read(X, y, None, reset=True)
    network = model._network(FEATURES, 1)
    objective = model._objective(network, data)
    theta = network.initial(np.random.RandomState(0), np.float32)
    counter = iter(range(1, 10**9))
    return lambda: objective.value_and_grad(theta + np.float32(1e-3) * next(counter))


def peak_bytes():
    """Return the largest memory that this process has had; Linux alone tells it of the process and not its parent."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def speed_up(folder, rows, repeats):
    """Return one row: the median seconds of a gradient on one worker and on two, which take turns."""
    with ExitStack() as stack:
        runs = {}
        for count in (1, 2):
            client = stack.enter_context(cluster(count))
            with client.as_current():
                X, y = (array[:rows] for array in stored(folder))
                runs[count] = on_client(client, gradients(*dask.persist(X, y)))
                runs[count]()  # makes the parts
        seconds = interleaved(runs, repeats)
    one, two = seconds[1], seconds[2]
    return [dict(question="speed-up", one_worker=one, two_workers=two, ratio=one / two)]


def on_client(client, run):
    """Return a call that runs on this client."""

    def call():
        with client.as_current():
            run()

    return call


_in_memory = {}


def load(folder):
    """Hold all data in this process, ready for gradients."""
    X, y = stored(folder)
    _in_memory["run"] = gradients(X.compute(scheduler="synchronous"), y.compute(scheduler="synchronous"))
    pass_in_memory()


def pass_in_memory():
    """Take a gradient over the data that `load` has read."""
    _in_memory["run"]()


def take(process):
    """Take a gradient in the process that holds the data, and wait for it."""
    process.submit(pass_in_memory).result()


def fit_and_pass(folder, repeats, newton):
    """Return the seconds of a fit on two workers and of a gradient, against one process, and the peaks of memory."""
    X, y = stored(folder)
    model = QNewtonRegressor(HIDDEN, random_state=0, max_iter=STEPS, tol=0, diagnostics=False)
    model.set_params(first_order_steps=STEPS - newton, curvature="gauss_newton")
    with cluster(2, memory_limit=MEMORY_LIMIT) as client, own_process(1) as one, own_process(2) as two:
        workers = client.run(peak_bytes)
        with quiet():
            _, fit_seconds = timed(lambda: model.fit(X, y))
        on_workers = gradients(X, y)
        on_workers()
        peaks = client.run(peak_bytes)
        for alone in (one, two):
            alone.submit(load, folder).result()
        sides = {name: partial(take, process) for name, process in (("one", one), ("two", two))}
        seconds = interleaved({"workers": on_workers, **sides}, repeats)
        in_memory = one.submit(peak_bytes).result()
    assert set(peaks) == set(workers), "a worker was restarted"
    row = dict(question="memory", steps=len(model.loss_curve_), fit_seconds=fit_seconds)
    row |= {
        "client MB": peak_bytes() / 1e6,
        "worker MB": max(peaks.values()) / 1e6,
        "numpy MB": in_memory / 1e6,
    }
    row |= {"gradient on workers": seconds["workers"], "numpy, 1 thread": seconds["one"]}
    return row | {"numpy, 2 threads": seconds["two"], "ratio": seconds["workers"] / seconds["two"]}


def memory(folder, repeats, newton):
    """Return one row, from a process that has done nothing else."""
    with own_process() as client:
        return [client.submit(fit_and_pass, folder, repeats, newton).result()]


def fit_on_workers(folder, start_rows, deadline_seconds):
    """Return (seconds, held-out loss) after each epoch of a fit on the files, after one on some rows in memory."""
    X, y = stored(folder)
    X_val, y_val = made(HELD_OUT_ROWS, 10**6)
    model = QNewtonRegressor(
        HIDDEN, alpha=1e-4, random_state=0, max_iter=1000, tol=1e-5, diagnostics=False, warm_start=True
    )
    losses, seconds = [], []
    with cluster(2), quiet():
        begun = time.perf_counter()
        first = [(X[:start_rows].compute(), y[:start_rows].compute())] if start_rows else []
        for data in [*first, (X, y)]:
            stamps = Stamps(deadline_seconds - (time.perf_counter() - begun))
            offset = time.perf_counter() - begun
            model.set_callbacks(stamps).fit(*data, X_val=X_val, y_val=y_val)
            seconds += [offset + second for second in stamps.seconds]
        losses = model.validation_loss_curve_
    return list(zip(seconds, losses))


def partial_fits(folder, deadline_seconds):
    """Return (seconds, held-out loss) after each chunk of scikit-learn's Adam on mini-batches of 200."""
    model = MLPRegressor(hidden_layer_sizes=HIDDEN, activation="tanh", random_state=0)
    return trace(folder, deadline_seconds, model.partial_fit, model.predict)


def torch_steps(folder, deadline_seconds):
    """Return (seconds, held-out loss) after each chunk of Adam on mini-batches in torch."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    widths = FEATURES, *HIDDEN
    layers = [f for n, m in zip(widths, widths[1:]) for f in (torch.nn.Linear(n, m), torch.nn.Tanh())]
    net = torch.nn.Sequential(*layers, torch.nn.Linear(HIDDEN[-1], 1))
    adam = torch.optim.Adam(net.parameters(), TORCH_RATE)

    def learn(X, y):
        X, y = torch.from_numpy(X), torch.from_numpy(y)
        for rows in torch.randperm(len(X)).split(TORCH_BATCH):
            adam.zero_grad()
            (0.5 * (net(X[rows])[:, 0] - y[rows]) ** 2).mean().backward()
            adam.step()

    def predict(X):
        with torch.no_grad():
            return net(torch.from_numpy(X))[:, 0].numpy()

    return trace(folder, deadline_seconds, learn, predict)


def trace(folder, deadline_seconds, learn, predict):
    """Return (seconds, held-out loss) after each chunk, chunks over and over until the deadline."""
    X_val, y_val = made(HELD_OUT_ROWS, 10**6)
    seconds, points = 0.0, []
    while seconds < deadline_seconds:
        start = time.perf_counter()
        for X, y in chunks(folder):
            learn(X, y)
            seconds += time.perf_counter() - start
            points.append((seconds, float(np.mean((predict(X_val) - y_val) ** 2) / 2)))
            start = time.perf_counter()
    return points


def peers(folder, start_rows, deadline_seconds):
    """Return one row per side: the lowest held-out loss, and the seconds to each multiple of `FLOOR`."""
    sides = {
        "dask": lambda: fit_on_workers(folder, 0, deadline_seconds),
        f"{start_rows} rows, then dask": lambda: fit_on_workers(folder, start_rows, deadline_seconds),
        "MLPRegressor.partial_fit": lambda: partial_fits(folder, deadline_seconds),
        "torch": lambda: torch_steps(folder, deadline_seconds),
    }
    rows = []
    for name, run in sides.items():
        try:
            points = run()
        except ImportError:  # torch is optional
            continue
        row = dict(question="peers", side=name, seconds=points[-1][0])
        row["lowest / floor"] = min(loss for _, loss in points) / FLOOR
        for multiple in MULTIPLES:
            reached = (second for second, loss in points if loss <= multiple * FLOOR)
            row[f"to {multiple:g}"] = next(reached, math.nan)
        rows.append(row)
    return rows


def main(arguments=None):
    """Run the benchmark; return its rows."""
    options = parser(__doc__)
    options.add_argument("--only", nargs="+", choices=("speed-up", "memory", "peers"))
    options.add_argument("--rows", type=int, help="of the data in files (default 10^7, and 10^6 for peers)")
    options.add_argument("--newton", type=int, default=1, help="Newton steps of the ten (default 1)")
    options.add_argument("--seconds", type=float, help="given to each peer (default 180)")
    options = options.parse_args(arguments)
    limit_threads(2)  # processors for the workers; each process computes on one thread
    rows = options.rows or (20_000 if options.quick else 10**7)
    few_rows = options.rows or (20_000 if options.quick else 10**6)
    seconds = options.seconds or (5.0 if options.quick else 180.0)
    chunk_rows = 2_500 if options.quick else CHUNK_ROWS
    asked = options.only or ("speed-up", "memory", "peers")
    result = []
    if "speed-up" in asked or "memory" in asked:
        with files(rows, chunk_rows) as folder:
            if "speed-up" in asked:
                result += speed_up(folder, SPEED_UP_ROWS, options.repeats)
            if "memory" in asked:
                result += memory(folder, options.repeats, options.newton)
    if "peers" in asked:
        with files(few_rows, min(chunk_rows, few_rows // 8)) as folder:
            result += peers(folder, few_rows // 10, seconds)
    for question in asked:
        table = [row for row in result if row["question"] == question]
        header = list(table[0])[1:]
        print_table(question, header, [[row[name] for name in header] for row in table])
    write_csv(options.csv, result)
    return result


if __name__ == "__main__":
    main()
