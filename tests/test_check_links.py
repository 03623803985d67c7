"""The checker of the built site finds what leads nowhere."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "docs" / "check_links.py"


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ('<a href="other.html#there">', "2 pages, 0 dead links"),
        ('<a href="https://example.org/">', "2 pages, 0 dead links"),
        ('<a href="other.html#gone">', "index.html: other.html#gone"),
        ('<a href="gone.html">', "index.html: gone.html"),
        ('<img src="gone.png">', "index.html: gone.png"),
        (
            '<script src="https://example.org/x.js"></script>',
            "index.html: loads https://example.org/x.js",
        ),
    ],
)
def test_links(tmp_path, body, line):
    (tmp_path / "index.html").write_text(body, encoding="utf-8")
    (tmp_path / "other.html").write_text('<h1 id="there">', encoding="utf-8")
    done = subprocess.run([sys.executable, SCRIPT, tmp_path], capture_output=True, text=True)
    assert done.stdout.splitlines()[0] == line
    assert done.returncode == (0 if line.endswith(" 0 dead links") else 1)
