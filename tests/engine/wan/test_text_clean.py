"""Prompts as the text encoder is to read them."""

from __future__ import annotations

import pytest

from limner.engine.wan.text_clean import cleaned


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ("An oil painting, warm.", "An oil painting, warm."),
        ("", ""),
        (" \t\n ", ""),
        ("  a\n\nb\t c\u00a0d\u2003e ", "a b c d e"),
        ("rock &amp; roll &lt;3", "rock & roll <3"),
        ("&amp;amp; twice", "& twice"),
        ("&amp;quot;", '"'),
        ("“curly” ‘quotes’ it’s", "\"curly\" 'quotes' it's"),
        ("ﬁne ﬂow of eﬃcient Ǆ ĳ", "fine flow of efficient DŽ ij"),
        ("ＬＯＵＤ　ｎｏｉｓｅｓ！", "LOUD noises!"),
        ("ﾊﾝｶｸ", "ハンカク"),
        ("cafe\u0301 ŉ", "café 'n"),
        ("wait\x85 \x93now\x94", 'wait… "now"'),
        ("<b>&ldquo;as it is&rdquo;</b>", "<b>“as it is”</b>"),
        ("\x1b[36;44mblue\x1b[0m", "blue"),
        ("\ufeffa\x00b\x07c", "abc"),
        ("half \ud83d of a pair", "half \ufffd of a pair"),
        ("油絵 \U0001f3a8 и кисть", "油絵 \U0001f3a8 и кисть"),
        ("x² ½ ㎏ ①", "x² ½ ㎏ ①"),
    ],
)
def test_is_repaired(prompt: str, wanted: str) -> None:
    assert cleaned(prompt) == wanted


@pytest.mark.parametrize("prompt", ["An oil painting", "&amp;amp;amp;", "“a”  b", "\ud83d\ude00"])
def test_is_clean_after_once(prompt: str) -> None:
    once = cleaned(prompt)
    assert cleaned(once) == once or "&" in once
