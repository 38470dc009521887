"""The house rules a reader relies on: imports point one way, extras are optional, modules say their job."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "qnewton_sk"
MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))

# Who may import whom, from the bottom up. A new module enters itself here, with the fewest imports it needs.
ALLOWED = {
    "system": set(),
    "costs": {"system", "threads"},
    "query_models": set(),
    "query_counts": {"query_models"},
    "quantum_hardware": set(),
    "quantum_assumptions": {"readout"},
    "readout": set(),
    "block_encoding": set(),
    "quantum_costs": {
        "block_encoding",
        "quantum_assumptions",
        "quantum_hardware",
        "query_counts",
        "readout",
        "costs",
        "system",
    },
    "activations": set(),
    "losses": set(),
    "mlp": {"losses", "activations", "threads"},
    "workspace": set(),
    "threads": set(),
    "input_tiles": set(),
    "layer_blocks": {"input_tiles"},
    "sample_curvature": set(),
    "assembly": {"input_tiles", "layer_blocks", "sample_curvature", "threads", "workspace"},
    "products": {"threads"},
    "factors": {"products", "sample_curvature", "threads", "workspace"},
    "geodesic": set(),
    "curvature": {"assembly", "factors", "geodesic", "products", "workspace", "mlp", "system"},
    "auto": {"assembly", "curvature", "workspace"},
    "factorisations": {"system", "threads"},
    "lanczos": set(),
    "checks": set(),
    "sparsity": {"checks"},
    "condition_number": {"checks", "factorisations", "lanczos", "system"},
    "spectrum": {"checks", "factorisations", "lanczos", "system"},
    "prepare": {"condition_number", "lanczos", "sparsity", "system"},
    "krylov": set(),
    "solvers": {"factorisations", "krylov", "costs", "system", "validation"},
    "more_sorensen": {"factorisations", "solvers", "system"},
    "sparse_solvers": {"factorisations", "costs", "system"},
    "chebyshev": set(),
    "circuit": {"chebyshev"},
    "emulation": {"chebyshev", "circuit", "query_counts", "system"},
    "qlsa": {"solvers", "emulation", "circuit", "block_encoding", "query_counts", "readout", "system"},
    "mixed_precision": {"costs", "factorisations", "solvers", "system"},
    "scheduler": {
        "mixed_precision",
        "more_sorensen",
        "qlsa",
        "quantum_costs",
        "solvers",
        "sparse_solvers",
        "costs",
        "system",
    },
    "step_control": {"system"},
    "quasi_newton": set(),
    "records": set(),
    "newton": {"quasi_newton", "records", "system"},
    "fitting": set(),
    "validation": set(),
    "callbacks": set(),
    "samples": set(),
    "diagnostics": {"sparsity"},
    "tradeoffs": set(),
    "versions": {"costs"},
}
ENTRY_POINTS = {"base", "estimators", "__init__", "__main__"}  # they may import everything
RUNTIME = {"numpy", "scipy", "sklearn", "autograd", "joblib", "threadpoolctl"}


def tree_of(module):
    return ast.parse((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))


def imports(tree):
    """Yield (module, name or None) of every import in `tree`, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (("." * node.level + (node.module or ""), alias.name) for alias in node.names)


def imported_modules(module):
    """Names of the package's own modules that `module` imports."""
    for source, name in imports(tree_of(module)):
        if source in {"qnewton_sk", "."}:
            yield name if name in MODULES else "__init__"
        elif source.startswith("qnewton_sk."):
            yield source.split(".")[1]
        elif source.startswith("."):
            yield source.lstrip(".").split(".")[0]


def test_every_module_is_in_the_table():
    unknown = set(MODULES) - set(ALLOWED) - ENTRY_POINTS
    assert not unknown, f"enter {sorted(unknown)} in ALLOWED, with the fewest imports they need"


def test_the_table_has_no_cycle():
    left = dict(ALLOWED)
    while left:
        leaves = {name for name, below in left.items() if not below & set(left)}
        assert leaves, f"the table allows a cycle among {sorted(left)}"
        left = {name: below for name, below in left.items() if name not in leaves}


@pytest.mark.parametrize("module", [name for name in MODULES if name in ALLOWED])
def test_imports_point_one_way(module):
    surplus = set(imported_modules(module)) - ALLOWED[module]
    assert not surplus, f"{module} must not import {sorted(surplus)}"


@pytest.mark.parametrize("module", ["base", "estimators", "__main__"])
def test_nothing_below_imports_an_entry_point(module):
    importers = [name for name in MODULES if name not in ENTRY_POINTS and module in imported_modules(name)]
    assert importers == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_its_job_in_one_line(module):
    docstring = ast.get_docstring(tree_of(module)) or ""
    first = docstring.split("\n")[0]
    assert first.endswith("."), f"{module} needs a first line that names its job"
    assert docstring.split("\n")[1:2] in ([], [""])


@pytest.mark.parametrize("module", MODULES)
def test_no_private_name_of_scikit_learn(module):
    private = [
        f"{source}: {name}"
        for source, name in imports(tree_of(module))
        if source.split(".")[0] == "sklearn" and re.search(r"(^|\.)_[a-z]", f"{source}.{name or ''}")
    ]
    assert private == []


@pytest.mark.parametrize("module", MODULES)
def test_extras_are_imported_inside_functions(module):
    at_top = [node for node in tree_of(module).body if isinstance(node, ast.Import | ast.ImportFrom)]
    roots = {source.split(".")[0] for source, _ in imports(ast.Module(at_top, []))} - {"", "qnewton_sk"}
    assert roots <= RUNTIME | set(sys.stdlib_module_names)


def test_importing_the_package_loads_no_extra():
    # scikit-learn itself imports pandas where it is installed
    extras = {"matplotlib", "pennylane", "nlft_qsp", "skl2onnx", "dask", "jax", "torch"}
    code = f"import sys, qnewton_sk; print(*{extras!r}.intersection(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert loaded.stdout.split() == []


def test_public_names_exist_and_are_documented():
    package = importlib.import_module("qnewton_sk")
    public = {name: getattr(package, name) for name in package.__all__}
    assert [name for name, value in public.items() if callable(value) and not value.__doc__] == []


def test_every_public_name_is_on_the_api_page():
    package = importlib.import_module("qnewton_sk")
    page = set((PACKAGE.parent / "docs" / "api.md").read_text(encoding="utf-8").split())
    assert [name for name in package.__all__ if name not in page] == []


def test_every_module_is_on_the_architecture_page():
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert [name for name in MODULES if not name.startswith("__") and f"`{name}.py`" not in page] == []


@pytest.mark.parametrize("path", [*PACKAGE.glob("*.py")], ids=lambda path: path.stem)
def test_numerics_do_not_print(path):
    speakers = {"__main__", "versions", "base"}
    prints = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print"
    ]
    assert path.stem in speakers or prints == []
