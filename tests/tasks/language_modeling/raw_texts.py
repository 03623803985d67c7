"""Raw texts in four languages or kinds, and one with everything that is odd."""

import argparse
from pathlib import Path

GERMAN = """\
Der Müller stand früh auf, denn der Bach führte wenig Wasser. „Heute mahlen wir nichts“, sagte er.
„Dann flicken wir das Dach“, antwortete sein Sohn, und holte die Leiter aus der Scheune.
Um 9:30 Uhr begann es zu regnen; z. B. fehlten schon zwölf Ziegel über der Küche (3,5 m²).
Am Abend war das Dach dicht. „Wer hätte das gedacht?“, fragte der Müller – und lachte.

Der Bach stieg in der Nacht. Am Morgen drehte sich das Rad, und der Müller mahlte Korn.
"""

CHINESE = """\
磨坊主很早就起床了，因为小溪里的水很少。“今天我们不磨面粉。”他说。
“那我们就修屋顶吧！”儿子回答，然后从谷仓里搬来了梯子。
上午9:30开始下雨；厨房上面已经少了12片瓦（约3.5平方米）。
晚上，屋顶修好了。“谁会想到呢？”磨坊主问——他笑了。

夜里，小溪涨水了。早晨，水车转了起来，磨坊主开始磨面粉。
"""


def english() -> str:
    """The language reference that Python ships."""
    from pydoc_data.topics import topics

    return "\n".join(topics[name] for name in sorted(topics))


def code() -> str:
    """A module of Python's library."""
    return Path(argparse.__file__).read_text(encoding="utf-8")


TEXTS = {
    "english": english,
    "german": lambda: GERMAN * 20,
    "chinese": lambda: CHINESE * 20,
    "code": code,
}

ODD = [
    "a\0b \x1b[31mred\x1b[0m \x7f",
    "\u200bzero\u200dwidth\ufeff",
    "שָׁלוֹם עולם. مرحبا، كيف حالك؟ \u202eoverride\u202c",
    "👩\u200d👩\u200d👧 👍🏽 🇩🇪🇫🇷 e\u0301 नमस्ते",
    "tab\tvertical\x0bform\x0cnext\x85line\u2028separator\u2029ideographic\u3000no-break\xa0",
    "<eos> <unk> </s> <0x41> ▁Ġ",
    "  indented   twice  ",
    "",
    "x" * 1_000_000,
    "\ufffd\U0010ffff",
]
