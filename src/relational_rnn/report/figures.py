"""The look of every picture, and matplotlib figures as PNG and SVG."""

import io
import sys
import warnings
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

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
    """The figure as a PNG file; a character that no installed font has is noted on stderr."""
    content = _saved(figure, format="png", dpi=150)
    missing = _missing(figure)
    if not missing:
        return content
    families, unknown = _fonts_with(missing)
    if unknown:
        shown = " ".join(sorted(unknown)[:10]) + (" ..." if len(unknown) > 10 else "")
        print(
            f"note: no installed font has {shown}; the picture "
            "shows boxes instead; install a font that has them, such as Noto Sans CJK",
            file=sys.stderr,
        )
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_fontfamily([*text.get_fontfamily(), *families])
    return _saved(figure, format="png", dpi=150) if families else content


def as_svg(figure: Figure) -> str:
    """The figure as an ``<svg>`` element, deterministic for the same figure."""
    text = _saved(figure, format="svg", metadata={"Date": None}).decode()
    return printable(text[text.index("<svg") :], newlines=True)


def _missing(figure: Figure) -> set[str]:
    """The characters of a drawn figure's texts that its own font lacks."""
    texts = (text.get_text() for text in figure.findobj(Text) if isinstance(text, Text))
    own = get_font(findfont(FontProperties())).get_charmap()
    found = set("".join(texts))
    return {letter for letter in found if ord(letter) not in own and letter.isprintable()}


def _fonts_with(letters: set[str]) -> tuple[list[str], set[str]]:
    """Installed font families that together have most of the letters, and the letters left."""
    sets: dict[str, set[str]] = {}
    for entry in fontManager.ttflist:
        # The font of last resort has a box for every character.
        if (entry.style, entry.weight) == ("normal", 400) and "Last Resort" not in entry.name:
            try:
                has = get_font(entry.fname).get_charmap()
            except (OSError, RuntimeError):
                continue  # the file is gone, or of a kind that matplotlib does not draw
            sets[entry.name] = {letter for letter in letters if ord(letter) in has}
    families, left = [], set(letters)
    while sets and left:
        best = max(sorted(sets), key=lambda name: (len(sets[name] & left), "Sans" in name))
        if not sets[best] & left:
            break
        families.append(best)
        left -= sets.pop(best)
    return families, left


def _saved(figure: Figure, **options: Any) -> bytes:
    content = io.BytesIO()
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # a character that the font lacks is drawn as a box, see as_png
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(content, **options)
    return content.getvalue()
