"""Sphinx builds the site from the Markdown pages of the repository and the docstrings.

The root of the sources is the root of the repository, so that a link between two files is the same
on GitHub and on the site. Nothing is fetched: formulas become MathML, and there is no font or
script from elsewhere.
"""

import os
import shlex
from contextlib import redirect_stdout
from importlib.metadata import version as version_of
from io import StringIO

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.writers.html5 import HTML5Translator

from relational_rnn.cli import main

project = "Relational RNN"
author = "The Relational RNN authors"
copyright = f"2026, {author}. MIT licence"
release = version = version_of("relational-rnn")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/*.md", "drills/README.md", "src/**/README.md"]
exclude_patterns = [".venv", "build", "dist", "results", "runs", "tests"]
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?!relational_rnn\.).*")]

myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 4

napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "signature"
default_role = "code"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"Relational RNN {release}"
html_additional_pages = {"index": "to-start.html"}
templates_path = ["templates"]
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_math_renderer = "mathml"


def formula(self: HTML5Translator, node: nodes.math | nodes.math_block) -> None:
    """Write a formula as MathML."""
    self.body.append(tex2mathml(node.astext(), as_block=isinstance(node, nodes.math_block)))
    raise nodes.SkipNode


class OutputOf(SphinxDirective):
    """The command ``rrnn ...`` in the block, as a block of what it prints."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        """Run it in this process."""
        (command,) = self.content
        os.environ["COLUMNS"] = "90"  # width of a help text
        printed = StringIO()
        with redirect_stdout(printed):
            if main(shlex.split(command)[1:]) != 0:
                raise self.error(f"{command} failed")
        return [nodes.literal_block(text=printed.getvalue(), language="text")]


def setup(app: Sphinx) -> None:
    """Register the writer of formulas and the directive."""
    app.add_directive("output-of", OutputOf)
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))
