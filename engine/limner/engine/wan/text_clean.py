"""A prompt as Wan's text encoder was taught to read it: repaired, without HTML, with single spaces.

Wan repairs prompts with ftfy. Here is what that does to text that was decoded rightly; text that was decoded
with the wrong table, which ftfy guesses at, cannot come out of a text field.
"""

from __future__ import annotations

import html
import re
import unicodedata

_TERMINAL = re.compile(r"\x1b\[(?:\d+(?:;\d+)*)?[A-Za-z]")
_CONTROLS = (
    *range(0x09),
    0x0B,
    *range(0x0E, 0x20),
    0x7F,
    *range(0x206A, 0x2070),
    0xFEFF,
    *range(0xFFF9, 0xFFFD),
)
_LIGATURES = (*range(0x132, 0x134), 0x149, *range(0x1C4, 0x1CD), *range(0x1F1, 0x1F4), *range(0xFB00, 0xFB07))
_WIDE = range(0xFF01, 0xFFF0)
_SINGLE_QUOTES = (0x2BC, *range(0x2018, 0x201C))
_DOUBLE_QUOTES = range(0x201C, 0x2020)


def _table() -> dict[int, str]:
    quotes = dict.fromkeys(_SINGLE_QUOTES, "'") | dict.fromkeys(_DOUBLE_QUOTES, '"')
    plain = {
        code: unicodedata.normalize("NFKC", chr(code)).translate(quotes) for code in (*_LIGATURES, *_WIDE)
    }
    return dict.fromkeys(_CONTROLS, "") | _windows() | plain | quotes | {0x3000: " "}


def _windows() -> dict[int, str]:
    """The controls that nobody uses, which are most likely Windows' characters at these places."""
    codes = [code for code in range(0x80, 0xA0) if code not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)]
    quotes = {0x91: "'", 0x92: "'", 0x93: '"', 0x94: '"'}
    return {code: bytes([code]).decode("cp1252") for code in codes} | quotes


_TABLE = _table()


def cleaned(prompt: str) -> str:
    """What is encoded for a prompt. Prompts that are equal after this are one prompt."""
    # Text with tags is HTML; what it escapes, quotes too, is as it is meant to be.
    text = _TERMINAL.sub("", prompt if "<" in prompt else html.unescape(prompt))
    # Half a surrogate pair is no character, and no tokenizer takes it.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = unicodedata.normalize("NFC", text.translate(_TABLE))
    return " ".join(html.unescape(html.unescape(text)).split())
