"""Time and memory of one exact Hessian, against automatic differentiation and against one matrix product.

Peers: `autograd.hessian`; jax, forward over reverse, compiled, in batches of 64; torch.func, reverse over
reverse, in chunks of rows. The floor is one square matrix product with as many floating-point operations as
the products of the assembly have when no input is zero and no output is left out, as one of softmax is. Every side
uses float64, the same parameters, and data in memory; compilation is not counted. A peer that is not installed has
dashes.

    python benchmarks/hessian.py --threads 2 --csv hessian.csv
"""

import tracemalloc
from functools import partial

from _common import interleaved, limit_threads, mnist, parser, print_table, settled, write_csv

JAX_BATCH = 64
TORCH_CHUNK = 64


def problem(name):
    """Return (objective, theta) of a benchmark."""
    import numpy as np
    from sklearn.datasets import load_digits, make_friedman1
    from sklearn.preprocessing import StandardScaler

    from qnewton_sk.nets.activations import resolve_activation
    from qnewton_sk.nets.losses import SoftmaxCrossEntropy, SquaredError
    from qnewton_sk.nets.network import Network
    from qnewton_sk.nets.objective import Objective

    loss, outputs = SoftmaxCrossEntropy(), 10
    if name == "digits":
        X, labels = load_digits(return_X_y=True)
        X, labels = X[:1437] / 16.0, labels[:1437]
    elif name == "friedman1":
        X, y = make_friedman1(1000, random_state=0, noise=0)
        X, loss, outputs = StandardScaler().fit_transform(X), SquaredError(), 1
    elif name == "mnist":
        X, labels = (array[:2048] for array in mnist())
    else:
        rng = np.random.default_rng(0)
        X, labels = rng.standard_normal((2048, 784)), rng.integers(10, size=2048)
    targets = y[:, None] if outputs == 1 else np.eye(outputs)[np.asarray(labels, int)]
    network = Network((X.shape[1], 16, 16, outputs), [resolve_activation("tanh")] * 2, loss)
    return Objective(network, np.ascontiguousarray(X), targets), network.initial(np.random.RandomState(0))


def ours(objective, theta, exact=True):
    """Assemble at a new theta, so that the forward and the backward pass count too."""
    from qnewton_sk.curvature.matrices import GaussNewton, Hessian

    theta = theta + 1e-12 * (1 + ours.calls)
    ours.calls += 1
    return (Hessian if exact else GaussNewton)().blocks(objective, theta)[0].matrix.entries()


ours.calls = 0


def total_loss(np, objective, theta, X, y, weight):
    """Return the weighted loss, in the numpy of the given library."""
    start, a, widths = 0, X, objective.network.widths
    for layer, (i, o) in enumerate(zip(widths, widths[1:])):
        W = theta[start : start + i * o].reshape((i, o))
        b = theta[start + i * o : start + (i + 1) * o]
        start += (i + 1) * o
        a = a @ W + b
        if layer < len(widths) - 2:
            a = np.tanh(a)
    if widths[-1] == 1:
        return (0.5 * weight * ((a - y) ** 2)[:, 0]).sum()
    return (weight * (np.log(np.exp(a).sum(1)) - (a * y).sum(1))).sum()


def autograd_hessian(objective, theta):
    """Return a function that computes the Hessian by autograd."""
    import autograd
    import autograd.numpy as anp

    X, y = objective.X, objective.targets
    hessian = autograd.hessian(lambda t: total_loss(anp, objective, t, X, y, 1 / len(X)))
    return lambda: hessian(theta)


def jax_hessian(objective, theta):
    """Return a function that computes the Hessian by jax, forward over reverse, in compiled batches."""
    import jax
    import numpy as np

    jax.config.update("jax_enable_x64", True)
    X, y = objective.X, objective.targets
    n, missing = len(X), -len(X) % JAX_BATCH
    weight = np.pad(np.full(n, 1 / n), (0, missing))
    X, y = (np.pad(array, ((0, missing), (0, 0))) for array in (X, y))
    parts = [jax.device_put(array.reshape(-1, JAX_BATCH, *array.shape[1:])) for array in (X, y, weight)]
    hessian = jax.jit(jax.jacfwd(jax.grad(partial(total_loss, jax.numpy, objective))))

    def run():
        return np.asarray(sum(hessian(theta, *batch) for batch in zip(*parts)))

    return run


def torch_hessian(objective, theta):
    """Return a function that computes the Hessian by torch.func, reverse over reverse, in chunks of rows."""
    import torch
    from threadpoolctl import threadpool_info
    from torch.func import jacrev

    torch.set_num_threads(max(lib["num_threads"] for lib in threadpool_info()))
    X, y, t = (torch.from_numpy(array) for array in (objective.X, objective.targets, theta))
    loss = partial(total_loss, torch, objective, X=X, y=y, weight=1 / len(X))
    hessian = jacrev(jacrev(loss), chunk_size=TORCH_CHUNK)
    return lambda: hessian(t).numpy()


def one_product(objective, exact=True):
    """Return a function that runs one square matrix product with the operations of the assembly."""
    import numpy as np

    from qnewton_sk.curvature.assembly import matrix_product_flops

    flops = matrix_product_flops(objective.network, objective.n_samples, exact=exact)
    order = round((flops / 2) ** (1 / 3))
    A, B = np.random.default_rng(0).standard_normal((2, order, order))
    out = np.empty((order, order))
    return lambda: np.matmul(A, B, out=out)


PEERS = {"autograd": autograd_hessian, "jax": jax_hessian, "torch": torch_hessian}


def sides(name, peers):
    """Return {side: function} for one problem, all warmed up, and the peers' largest relative difference."""
    import numpy as np

    objective, theta = problem(name)
    runs = {"qnewton_sk": partial(ours, objective, theta), "one product": one_product(objective)}
    runs["Gauss-Newton"] = partial(ours, objective, theta, exact=False)
    H, difference = runs["qnewton_sk"](), float("nan")
    runs["one product"](), runs["Gauss-Newton"]()
    for peer in peers:
        try:
            runs[peer] = PEERS[peer](objective, theta)
        except ImportError:
            continue
        error = np.abs(runs[peer]() - H).max() / np.abs(H).max()
        difference = error if np.isnan(difference) else max(difference, error)
    return objective, runs, float(difference)


def peak_megabytes(name):
    """Return the peak memory of one assembly beyond X, the matrix included, in MB."""
    objective, theta = problem(name)
    tracemalloc.start()
    ours(objective, theta)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 2**20


def measure(name, peers, repeats):
    """Return the row of one problem."""
    objective, runs, difference = sides(name, peers)
    seconds = interleaved(runs, repeats, measure=settled)
    row = {
        "data": name,
        "sizes": "-".join(map(str, objective.network.widths)),
        "samples": objective.n_samples,
        "parameters": objective.n_params,
        "nonzero inputs": int((objective.X != 0).any(axis=0).sum()),
        "largest difference": difference,
        "matrix MB": 8 * objective.n_params**2 / 2**20,
        "peak MB": peak_megabytes(name),
    }
    return row | {f"{side} s": seconds.get(side, float("nan")) for side in (*list(runs)[:3], *PEERS)}


def show(rows):
    """Print the tables."""
    first = ["data", "sizes", "samples", "parameters"]
    times = ["qnewton_sk s", "Gauss-Newton s", "one product s", "autograd s", "jax s", "torch s"]
    print_table(
        "Seconds of one Hessian (medians)", first + times, [[row[k] for k in first + times] for row in rows]
    )
    ratios = [
        [row["data"]]
        + [row[f"{peer} s"] / row["qnewton_sk s"] for peer in PEERS]
        + [row["qnewton_sk s"] / row["one product s"], row["nonzero inputs"], row["largest difference"]]
        for row in rows
    ]
    header = ["data", *(f"times faster than {peer}" for peer in PEERS)]
    print_table("Ratios", [*header, "times one product", "nonzero inputs", "largest difference"], ratios)
    memory = [[row["data"], row["matrix MB"], row["peak MB"]] for row in rows]
    print_table("Memory", ["data", "matrix MB", "all that is held at the peak MB"], memory)


def main():
    """Run the benchmark."""
    arguments = parser(__doc__).parse_args()
    limit_threads(arguments.threads)
    cases = {"digits": list(PEERS), "friedman1": list(PEERS)}
    if not arguments.quick:
        cases |= {"mnist": [], "normal": []}  # the peers take minutes at this size
    rows = [measure(name, peers, arguments.repeats) for name, peers in cases.items()]
    show(rows)
    write_csv(arguments.csv, rows)


if __name__ == "__main__":
    main()
