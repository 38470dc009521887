"""Sphinx settings."""

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
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "generated/**.ipynb", "gallery/**.ipynb", "gallery/**.md5", "gallery/**.py"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
suppress_warnings = [
    "config.cache",  # the sort key of the gallery is not pickled, and need not be
    "ref.ref",  # inherited docstrings point into scikit-learn's own pages
]

autosummary_generate = True
numpydoc_show_class_members = False  # the templates of autosummary list them
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["gallery"],
    "filename_pattern": r"/(plot|add)_",
    "show_memory": False,
    "min_reported_time": 5,
}

html_theme = "pydata_sphinx_theme"
html_title = "qnewton_sk"
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
