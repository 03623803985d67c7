"""The look of every picture, and matplotlib figures as PNG and SVG."""

import io
import warnings
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from ..printable import printable

# The palette of Okabe and Ito, which colour-blind readers can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLE: Any = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "text.usetex": False,
    "text.parse_math": False,  # names may contain dollar signs
    "svg.fonttype": "none",
    "svg.hashsalt": "relational-rnn",
}


def as_png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    return _saved(figure, format="png", dpi=150)


def as_svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element, deterministic for the same figure."""
    text = _saved(figure, format="svg", metadata={"Date": None}).decode()
    return printable(text[text.index("<svg") :], newlines=True)


def _saved(figure: Figure, **options: Any) -> bytes:
    content = io.BytesIO()
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # a character that the font lacks is drawn as a box
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(content, **options)
    return content.getvalue()
