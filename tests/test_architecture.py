"""The house rules that readers rely on: imports point one way, extras are optional, modules say their job."""

import ast
import importlib
import inspect
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import qnewton_sk

PACKAGE = Path(__file__).parents[1] / "qnewton_sk"
MODULES = {
    path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", "."): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

# Which room may import which, from the bottom up.
ALLOWED = {
    "machine": set(),
    "systems": {"machine"},
    "nets": {"machine"},
    "data": {"machine", "nets"},
    "solvers": {"machine", "systems"},
    "conditioning": {"machine", "solvers", "systems"},
    "curvature": {"machine", "nets", "systems"},
    "quantum": {"machine", "solvers", "systems"},
    "scheduling": {"machine", "quantum", "solvers", "systems"},
    "optimize": {"machine", "systems"},
    "inference": {"curvature", "machine", "nets", "optimize", "systems"},
    "reports": {"conditioning", "quantum", "scheduling", "solvers", "systems"},
    "autodiff": {
        "conditioning",
        "curvature",
        "estimators",
        "machine",
        "nets",
        "optimize",
        "systems",
    },
    "estimators": {
        "conditioning",
        "curvature",
        "data",
        "inference",
        "machine",
        "nets",
        "optimize",
        "scheduling",
        "systems",
        "versions",
    },
    "interop": {"estimators", "nets"},
    "versions": {"machine"},
}
TOP = {"__init__", "__main__"}  # they may import everything
RUNTIME = {"numpy", "scipy", "sklearn", "autograd", "joblib", "threadpoolctl"}
MAX_MODULES, MAX_TOP_MODULES = 10, 3


def tree_of(module):
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


def imports(tree):
    """Yield (module, name or None) of every import in `tree`, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (("." * node.level + (node.module or ""), alias.name) for alias in node.names)


def room_of(module):
    """The folder that a module lies in, or its own name at the top of the package."""
    return module.split(".")[0]


def imported_modules(module):
    """Names of the package's own modules that `module` imports; a room stands for its `__init__`."""
    for source, _ in imports(tree_of(module)):
        if source.startswith("qnewton_sk."):
            yield source.removeprefix("qnewton_sk.")
        elif source == "qnewton_sk":
            yield "__init__"
        elif source.startswith("."):
            assert not source.startswith(".."), f"{module}: name the room, not its place ({source})"
            yield f"{room_of(module)}.{source[1:]}" if "." in module else source[1:]


def test_every_room_is_in_the_table():
    unknown = {room_of(module) for module in MODULES} - set(ALLOWED) - TOP
    assert not unknown, f"enter {sorted(unknown)} in ALLOWED, with the fewest imports they need"


def test_the_table_has_no_cycle():
    left = dict(ALLOWED)
    while left:
        leaves = {name for name, below in left.items() if not below & set(left)}
        assert leaves, f"the table allows a cycle among {sorted(left)}"
        left = {name: below for name, below in left.items() if name not in leaves}


@pytest.mark.parametrize("room", ALLOWED)
def test_imports_point_one_way(room):
    for module in MODULES:
        if room_of(module) == room:
            surplus = {room_of(name) for name in imported_modules(module)} - ALLOWED[room] - {room}
            assert not surplus, f"{module} must not import {sorted(surplus)}"


@pytest.mark.parametrize("room", ALLOWED)
def test_no_import_cycle_inside_a_room(room):
    left = {
        module: {name for name in imported_modules(module) if name in MODULES}
        for module in MODULES
        if room_of(module) == room and not module.endswith("__init__")
    }
    while left:
        leaves = {name for name, below in left.items() if not below & set(left)}
        assert leaves, f"there is a cycle among {sorted(left)}"
        left = {name: below for name, below in left.items() if name not in leaves}


@pytest.mark.parametrize("module", MODULES)
def test_other_rooms_are_imported_through_their_init(module):
    """What another room uses is in the `__init__` of the room that it comes from."""
    deep = [name for name in imported_modules(module) if "." in name and room_of(name) != room_of(module)]
    assert deep == []


def test_no_room_has_more_than_ten_modules():
    sizes = {}
    for module in MODULES:
        if not module.endswith(("__init__", "__main__")):
            room = room_of(module) if "." in module else "top"
            sizes[room] = sizes.get(room, 0) + 1
    assert sizes.pop("top") <= MAX_TOP_MODULES
    assert {room: size for room, size in sizes.items() if size > MAX_MODULES} == {}


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
def test_extras_are_imported_inside_functions_and_nothing_else_is(module):
    tree = tree_of(module)
    at_top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    roots = {source.split(".")[0] for source, _ in imports(ast.Module(at_top, []))} - {"", "qnewton_sk"}
    ours = RUNTIME | set(sys.stdlib_module_names)
    assert roots <= ours
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = {source.split(".")[0] for function in functions for source, _ in imports(function)}
    assert not inside & (ours | {"", "qnewton_sk"})


def test_importing_the_package_loads_no_extra():
    # scikit-learn itself imports pandas where it is installed
    extras = {
        "matplotlib",
        "pennylane",
        "nlft_qsp",
        "skl2onnx",
        "onnx",
        "onnxruntime",
        "skops",
        "dask",
        "distributed",
        "jax",
        "torch",
    }
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
    files = [path.relative_to(PACKAGE) for name, path in MODULES.items() if "__" not in name]
    assert [path.as_posix() for path in files if f"`{path.as_posix()}`" not in page] == []


def built(kind, folder, files):
    """Build a "wheel" or an "sdist" from copies of some files of the project; return what it holds, by name."""
    pytest.importorskip("setuptools", "77")
    root, source = PACKAGE.parent, folder / "source"
    for path in files:
        copy = source / path.relative_to(root)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    command = f"from setuptools.build_meta import build_{kind}; import sys; print(build_{kind}(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", command, str(folder)], cwd=source, check=True, capture_output=True, text=True
    )
    archive = folder / done.stdout.split()[-1]
    if kind == "wheel":
        return set(zipfile.ZipFile(archive).namelist())
    with tarfile.open(archive) as held:
        return {name.partition("/")[2] for name in held.getnames()}


ROOT_FILES = [PACKAGE.parent / name for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")]


def test_a_wheel_holds_every_module(tmp_path):
    files = [*MODULES.values(), PACKAGE / "py.typed"]
    held = built("wheel", tmp_path, [*ROOT_FILES, *files])
    assert {path.relative_to(PACKAGE.parent).as_posix() for path in files} <= held


def test_the_tests_run_from_a_source_distribution(tmp_path):
    """It holds the tests and all that they import or read, the scripts of the benchmarks among them."""
    root = PACKAGE.parent
    folders = (root / name for name in ("tests", "benchmarks", "examples", "docs"))
    files = [path for folder in folders for path in folder.rglob("*.py") if "_build" not in path.parts]
    files = [path for path in files if not {"gallery", "generated"} & set(path.parts)]
    files += [root / "MANIFEST.in", root / "tox.ini", root / "CONTRIBUTING.md", *(root / "docs").glob("*.md")]
    held = built("sdist", tmp_path, [*ROOT_FILES, *MODULES.values(), *files])
    assert {path.relative_to(root).as_posix() for path in files} <= held


@pytest.mark.parametrize("module", MODULES)
def test_numerics_do_not_print(module):
    speakers = {"__main__", "versions", "estimators.results"}
    prints = [
        node.lineno
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print"
    ]
    assert module in speakers or prints == []


def _public_functions():
    """Return (label, function) of every public function, constructor and method of this package."""
    for name in qnewton_sk.__all__:
        public = getattr(qnewton_sk, name)
        if inspect.isfunction(public):
            yield name, public
        if not inspect.isclass(public):
            continue
        for attribute, member in vars(public).items():
            member = getattr(member, "__func__", getattr(member, "fget", member))
            is_public = not attribute.startswith("_") or attribute in ("__init__", "__call__")
            if is_public and inspect.isfunction(member) and member.__module__.startswith("qnewton_sk."):
                yield f"{name}.{attribute}", member


@pytest.mark.parametrize("label, function", list(_public_functions()))
def test_public_signatures_are_annotated(label, function):
    signature = inspect.signature(function)
    bare = [p.name for p in signature.parameters.values() if p.annotation is p.empty]
    assert not set(bare) - {"self", "cls"}
    assert label.endswith("__init__") or signature.return_annotation is not signature.empty


def test_test_modules_have_names_of_their_own():
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert len(names) == len(set(names))  # pytest cannot collect two modules of one name together
