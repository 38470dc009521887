"""Kill checkpointed fits at random moments and compare what they end with: ``python tests/kills.py --kills 100``.

A fit in a process of its own is ended by SIGKILL at a random moment, which includes that of a write; then the same call
goes on from the checkpoint. Its model and its curve must be those of an uninterrupted fit, to the last bit.
"""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

FITS = {
    "quasi-Newton": "QNewtonClassifier((16, 16), max_iter=150, early_stopping=True, n_iter_no_change=999, **same)",
    "Hessian": 'QNewtonClassifier((8, 8), curvature="hessian", max_iter=40, **same)',
    "evidence": 'QNewtonClassifier((8,), alpha="evidence", max_iter=40, **same)',
    "Gauss-Newton, batches": 'QNewtonClassifier((8,), curvature="gauss_newton", batch_size=50, max_iter=40, **same)',
}
"""Name -> call of the estimator; `same` holds what all of them share."""

SCRIPT = """
import sys, warnings
import numpy as np
from sklearn.datasets import make_moons
from qnewton_sk import QNewtonClassifier
from qnewton_sk.estimators import checkpoint
warnings.simplefilter("ignore")
checkpoint.SECONDS_BETWEEN_WRITES = 0.0
X, y = make_moons(300, noise=0.2, random_state=0)
same = dict(random_state=0, tol=0.0, checkpoint=sys.argv[1] or None)
model = {call}
print("begin", flush=True)
model.fit(X, y)
np.savez(sys.argv[2], model.loss_curve_, *model.coefs_, *model.intercepts_)
"""


def run(call, path, out, kill_after=None):
    """Fit in a process of its own, and kill it after so many seconds of the fit.

    Returns
    -------
    (bool, float)
        Whether it was killed, and the seconds from the start of the fit to the end of the process.
    """
    script = SCRIPT.replace("{call}", call)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path), str(out)], stdout=subprocess.PIPE, env=_environment()
    )
    with process.stdout:
        process.stdout.readline()
        start = time.perf_counter()
        try:
            process.wait(timeout=kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
        code = process.wait()
    if code > 0:
        raise RuntimeError(f"the fit ended with {code}")
    return code < 0, time.perf_counter() - start


def _environment():
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"}


def same_models(first, second):
    """Whether two files hold the same arrays."""
    with np.load(first) as a, np.load(second) as b:
        return a.files == b.files and all(np.array_equal(a[name], b[name]) for name in a.files)


def main():
    """Kill that many fits, cycling through `FITS`; the exit status is 1 if a model differs."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--kills", type=int, default=100, help="default 100")
    arguments.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    options = arguments.parse_args()
    rng, kills, different = np.random.default_rng(options.seed), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        seconds = {}
        for name, call in FITS.items():
            run(call, "", folder / f"{name}.npz")
            seconds[name] = run(call, folder / f"{name}.ckpt", folder / "timed.npz")[1]
        for attempt, name in enumerate(itertools.cycle(FITS)):
            if kills >= options.kills:
                break
            path, out = folder / f"{attempt}.ckpt", folder / "resumed.npz"
            killed, _ = run(FITS[name], path, out, rng.uniform(0, 1) * seconds[name])
            run(FITS[name], path, out)
            kills += killed
            different += not same_models(folder / f"{name}.npz", out)
    print(f"{kills} fits killed and resumed, {different} models differ")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
