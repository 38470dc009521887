"""What a bug report needs: versions of this package and its dependencies, and the machine's calibration."""

import platform
import sys
from importlib import metadata

from qnewton_sk.machine import calibrate

__version__ = "0.1.0"

DEPENDENCIES = ("scikit-learn", "numpy", "scipy", "autograd", "joblib", "threadpoolctl")
EXTRAS = ("matplotlib", "pandas", "pennylane", "nlft-qsp", "skl2onnx", "dask")


def show_versions():
    """Print versions of Python, this package and its dependencies, and the calibration of this machine.

    The calibration is what the predicted costs of classical solves rest on; measuring it takes about a
    second, once per process.

    Examples
    --------
    >>> from qnewton_sk import show_versions
    >>> show_versions()
    System
    ...
    Calibration
    ...
    """
    print("\n\n".join(_section(title, rows) for title, rows in _report().items()))


def _report():
    return {
        "System": {"python": sys.version.split()[0], "platform": platform.platform()},
        "Packages": {"qnewton_sk": __version__} | {name: _version(name) for name in DEPENDENCIES + EXTRAS},
        "Calibration": _calibration_rows(calibrate()),
    }


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _calibration_rows(rates):
    sizes = (100, 1000)
    kernels = {
        f"{kernel} at N = {n}": f"{rates.rate(kernel, n) / 1e9:.3g} GFLOP/s"
        for kernel in rates.flops_per_second
        for n in sizes
    }
    memory = f"{rates.bytes_per_second / 1e9:.3g} GB/s"
    call = f"{rates.call_seconds:.3g} s"
    return {"BLAS threads": rates.threads} | kernels | {"memory": memory, "call": call}


def _section(title, rows):
    return "\n".join([title, *(f"{name:>18}: {value}" for name, value in rows.items())])
