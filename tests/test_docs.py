"""The pages of the documentation hang together, without building them."""

import csv
import inspect
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(DOCS.glob("*.md")) + sorted((DOCS / "tutorials").glob("*.md"))
GENERATED = {"gallery/index"}
NAMES = {path.relative_to(DOCS).with_suffix("").as_posix(): path for path in PAGES}
STATIC = [path for folder in ("_static", "_templates") for path in sorted((DOCS / folder).rglob("*.*"))]


def text_of(path):
    return path.read_text(encoding="utf-8")


def prose_of(path):
    """The page without its code blocks."""
    return re.sub(r"^```(python|bash|bibtex)\n.*?^```", "", text_of(path), flags=re.DOTALL | re.MULTILINE)


def toctree_entries(name):
    """Names of the pages that a page has in its toctrees, as written in them."""
    blocks = re.findall(r"^```\{toctree\}\n(.*?)^```", text_of(NAMES[name]), re.DOTALL | re.MULTILINE)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return [re.sub(r".*<(.*)>$", r"\1", line) for line in lines if line and not line.startswith(":")]


def anchors_of(path):
    """Anchors of the headings of a page, as MyST and GitHub make them."""
    headings = re.findall(r"^#{1,3} (.*)$", prose_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_menu_once():
    entries = [entry for name in NAMES for entry in toctree_entries(name)]
    assert sorted(entries) == sorted((set(NAMES) - {"index"}) | GENERATED)


def test_the_menu_has_an_explicit_order():
    assert not any(":glob:" in text_of(path) for path in PAGES)


@pytest.mark.parametrize("name", NAMES)
def test_links_between_pages_resolve(name):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(NAMES[name])):
        if re.match(r"https?:", target):
            continue
        page, _, anchor = target.partition("#")
        path = (NAMES[name].parent / page).resolve() if page else NAMES[name]
        if path.is_relative_to(DOCS / "gallery"):
            script = DOCS.parent / "examples" / path.relative_to(DOCS / "gallery").with_suffix(".py")
            assert script.exists() or path.stem == "index", target
            continue
        assert path.exists(), target
        assert not anchor or anchor in anchors_of(path), target


@pytest.mark.parametrize("name", NAMES)
def test_figures_and_included_files_exist(name):
    path = NAMES[name]
    for target in re.findall(
        r"^```\{(?:image|figure|include|literalinclude)\} (\S+)", text_of(path), re.MULTILINE
    ):
        assert (path.parent / target).exists(), target
    cards = re.findall(r"^:link: (\S+)\n:link-type: doc", text_of(path), re.MULTILINE)
    assert {card for card in cards if card not in GENERATED} <= set(NAMES)


def test_nothing_is_loaded_from_the_network():
    loads = re.compile(r"""(src=["']|url\(["']?|@import ["']|<link[^>]*href=["'])(https?:)?//""")
    for path in [*STATIC, *PAGES]:
        if path.suffix in (".css", ".js", ".md", ".rst", ".html"):
            assert not loads.search(text_of(path)), path


def test_every_example_lies_in_a_section_of_the_gallery():
    examples = DOCS.parent / "examples"
    assert not list(examples.glob("*.py"))
    sections = sorted(path.name for path in examples.iterdir() if path.is_dir() and list(path.glob("*.py")))
    configured = re.search(r'"subsection_order".*?in \((.*?)\)', text_of(DOCS / "conf.py"), re.DOTALL).group(
        1
    )
    assert sections == sorted(re.findall(r'"(\w+)"', configured))
    assert all((examples / section / "GALLERY_HEADER.rst").exists() for section in sections)


def test_troubleshooting_explains_every_status_and_every_backend():
    from qnewton_sk import SolveStatus, default_backends

    page = text_of(DOCS / "troubleshooting.md")
    names = [status.value for status in SolveStatus] + [backend.name for backend in default_backends()]
    assert [name for name in names if f"| `{name}` |" not in page] == []


def test_troubleshooting_explains_every_stop_reason():
    from qnewton_sk import QNewtonClassifier, QNewtonRegressor

    page = text_of(DOCS / "troubleshooting.md")
    for estimator in (QNewtonClassifier, QNewtonRegressor):
        docstring = inspect.getdoc(estimator)  # Python 3.13 removes the indentation, older ones keep it
        section = re.search(r"^stop_reason_ : str\n(.*?)\n\w+ :", docstring, re.DOTALL | re.MULTILINE)
        reasons = re.findall(r'"(\w+)"', section.group(1))
        assert len(reasons) > 10
        assert [reason for reason in reasons if f'| `"{reason}"` |' not in page] == []


def test_speed_ups_are_the_same_in_the_readme_on_the_page_and_in_the_figure():
    with open(
        DOCS.parent / "benchmarks" / "results" / "time_to_loss.csv", newline="", encoding="utf-8"
    ) as file:
        rows = {row["data"]: row for row in csv.DictReader(file)}
    readme, page = text_of(DOCS.parent / "README.md"), text_of(DOCS / "performance.md")
    assert len(rows) == 9
    for data, row in rows.items():
        missed = int(row["cases"]) - int(row["reached"])
        assert f"| {data} | {missed} | {row['speed_up']} | {row['slowest']} |" in readme
        assert (
            f"| {data} | {row['reached']} of {row['cases']} | {row['speed_up']} | {row['slowest']} |" in page
        )
