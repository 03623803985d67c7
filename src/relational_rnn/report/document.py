"""The frame of every page: HTML that needs nothing beside it."""

from html import escape


def document(title: str, style: str, *body: str) -> str:
    """A whole page.

    Args:
        title: plain text.
        style: CSS.
        body: the lines of the page, HTML.
    """
    return "\n".join(
        [
            "<!doctype html>",
            f'<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<style>{style}</style></head><body>",
            *body,
            "</body></html>",
            "",
        ]
    )
