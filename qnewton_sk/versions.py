"""Information for a bug report: versions of this package and its dependencies, and the rates of this machine."""

import platform
import sys
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

from qnewton_sk.machine import available_threads, calibrate

__version__ = "0.1.0"

DEPENDENCIES = ("scikit-learn", "numpy", "scipy", "autograd", "joblib", "threadpoolctl")
EXTRAS = ("matplotlib", "pandas", "pennylane", "nlft-qsp", "skl2onnx", "onnxruntime", "skops", "dask")


def documentation_template(package: Path = Path(__file__).parent) -> str:
    """Return the address of the page of an estimator, with "{estimator_name}" in place of its name.

    The address is in the documentation that the metadata of the installed package name (``project_urls`` of
    setup.cfg), or else in the pages that were built in the clone of the package.

    Parameters
    ----------
    package : Path, default=folder of this package
        The folder of the package.

    Returns
    -------
    str
        Empty if there is neither.

    Examples
    --------
    >>> from pathlib import Path
    >>> from qnewton_sk.versions import documentation_template
    >>> "{estimator_name}" in documentation_template() or documentation_template() == ""
    True
    """
    page = "generated/qnewton_sk.{estimator_name}.html"
    try:
        urls = metadata.metadata("qnewton_sk").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        urls = []
    for label, _, url in (entry.partition(", ") for entry in urls):
        if label == "Documentation":
            return f"{url.rstrip('/')}/{page}"
    built = package.parent / "docs" / "_build" / "html"
    return f"{built.as_uri()}/{page}" if (built / "generated").is_dir() else ""


def show_versions() -> None:
    """Print versions of Python, this package and its dependencies, and the rates of this machine.

    The rates are measured here, which takes about a second, once per process. A fit does not use them unless
    ``Scheduler(rates=calibrate())`` asks for it: by default it predicts with the rates that ship with the package.

    Examples
    --------
    >>> from qnewton_sk import show_versions
    >>> show_versions()
    System
    ...
    Rates of this machine
    ...
    """
    print("\n\n".join(_section(title, rows) for title, rows in _report().items()))


def _report():
    return {
        "System": {"python": sys.version.split()[0], "platform": platform.platform()},
        "Packages": {"qnewton_sk": __version__} | {name: _version(name) for name in DEPENDENCIES + EXTRAS},
        "Rates of this machine": _rate_rows(calibrate()),
    }


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _rate_rows(rates):
    sizes = (100, 1000)
    kernels = {
        f"{kernel} at N = {n}": f"{rates.rate(kernel, n) / 1e9:.3g} GFLOP/s"
        for kernel in rates.flops_per_second
        for n in sizes
    }
    memory = f"{rates.bytes_per_second / 1e9:.3g} GB/s"
    call = f"{rates.call_seconds:.3g} s"
    return {"BLAS threads": available_threads()} | kernels | {"memory": memory, "call": call}


def _section(title, rows):
    return "\n".join([title, *(f"{name:>18}: {value}" for name, value in rows.items())])


class VersionedState:
    """Mixin of estimators whose pickled state says which version of this package wrote it."""

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the version that wrote it."""
        return {**super().__getstate__(), "_qnewton_sk_version": __version__}  # type: ignore[dict-item]

    def __setstate__(self, state: Any) -> None:
        """Restore the state; warn if another version wrote it."""
        state = dict(state)
        written = state.pop("_qnewton_sk_version", "unknown")
        if written != __version__:
            warnings.warn(
                f"{type(self).__name__} was pickled by qnewton_sk {written} and is loaded by "
                f"{__version__}. It may fail or predict something else; fit it again, or install the version "
                "that wrote it.",
                stacklevel=2,
            )
        super().__setstate__(state)  # type: ignore[misc]
