"""Sphinx settings."""

import inspect
from importlib import import_module

from qnewton_sk.versions import __version__

project = "qnewton_sk"
author = "the qnewton_sk developers"
copyright = f"2026, {author}"
version = release = __version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # serves MathJax and its fonts from the built site
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = [
    "_build",
    "sg_execution_times.rst",
    "generated/**.ipynb",
    "gallery/**.ipynb",
    "gallery/**.md5",
    "gallery/**.py",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = [
    "config.cache",  # the sort key of the gallery is not pickled, and need not be
    "ref.ref",  # inherited docstrings point into scikit-learn's own pages
    "ref.term",  # and into its glossary
]

autosummary_generate = True


def properties_of(fullname):
    """Names of the public properties of a class, for the template of its page."""
    module, _, name = fullname.rpartition(".")
    members = inspect.getmembers(
        getattr(import_module(module), name), lambda value: isinstance(value, property)
    )
    return [key for key, _ in members if not key.startswith("_")]


autosummary_context = {"properties_of": properties_of}
autosummary_ignore_module_all = False
autodoc_member_order = "groupwise"
autodoc_typehints = "none"  # the docstrings are more precise than the annotations
numpydoc_show_class_members = False  # the templates of autosummary list them
toc_object_entries_show_parents = "hide"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["gallery"],
    "subsection_order": [
        f"../examples/{name}" for name in ("training", "uncertainty", "quantum", "extending")
    ],
    "within_subsection_order": "FileNameSortKey",
    "filename_pattern": r"/(plot|add)_",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("qnewton_sk",),
    "exclude_implicit_doc": {r"sklearn\..*"},
    "nested_sections": False,
    "show_memory": False,
    "write_computation_times": False,  # its page loads scripts from the network
    "min_reported_time": 5,
}

html_theme = "pydata_sphinx_theme"
html_title = "qnewton_sk"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["tables.js"]
html_show_sourcelink = False
html_context = {
    "default_mode": "auto"
}  # light or dark, as the browser asks; an empty mode is an error in its console
html_theme_options = {
    "header_links_before_dropdown": 9,
    "navbar_align": "left",
    "show_prev_next": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": [], "reproducing": [], "gallery/index": []},
    "footer_start": ["copyright"],
    "footer_end": [],
}
# A page without neighbours in its section has no left sidebar.
html_sidebars = {
    name: []
    for name in ("index", "quantum", "reproducing", "performance", "search", "genindex", "gallery/index")
}
