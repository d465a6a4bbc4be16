"""Markdown: what a reader of the page sees, in blocks."""

import time

import pytest

from sourcebook.parse.base import Limits
from sourcebook.parse.inline import join_lines, plain
from sourcebook.parse.markdown import MarkdownParser
from sourcebook.types import ParsedDocument
from tests.parse.parsing_checks import located, shown

PAGE = """---
title: Fees
tags: [cost, "2024"]
date: 2024-05-01
nested: {left: out}
---
# Fees and *deadlines* #

The **fee** is [10 EUR](https://example.org/fees "See") per
request, see `a_b * c`.

Setext
------
- first
  goes on
- [ ] second
    - nested
1. one
2) two

> Quoted
> text.

| Name | Amount |
|:-----|-------:|
| Copy | 5 \\| 6 |
| Post |        |

```python
# not a heading

x = 1
```

<!-- a remark
over two lines -->
Line one\\
line two \\*not emphasis\\* &amp; <b>bold</b>

***
[reference]: https://example.org
"""


def parse(text: str) -> ParsedDocument:
    return MarkdownParser().parse(text.encode(), "a.md", Limits())


def test_every_construct() -> None:
    document = parse(PAGE)
    assert shown(document) == [
        ("heading", "Fees and deadlines"),
        ("paragraph", "The fee is 10 EUR per request, see a_b * c."),
        ("heading", "Setext"),
        ("list_item", "first goes on"),
        ("list_item", "[ ] second"),
        ("list_item", "nested"),
        ("list_item", "1. one"),
        ("list_item", "2) two"),
        ("paragraph", "Quoted text."),
        ("table_row", "Name: Copy; Amount: 5 | 6"),
        ("table_row", "Name: Post"),
        ("code", "# not a heading\n\nx = 1"),
        ("paragraph", "Line one\nline two *not emphasis* & bold"),
    ]
    assert [block.level for block in document.blocks if block.kind == "heading"] == [1, 2]
    assert located(document)[0][0] == "table 1 row 2"


def test_front_matter_is_metadata_and_not_text() -> None:
    document = parse(PAGE)
    assert document.title == "Fees"
    assert document.metadata == {"title": "Fees", "tags": ("cost", "2024"), "date": "2024-05-01"}
    assert "tags" not in document.text


@pytest.mark.parametrize("text", ["---\nnot yaml: [\n---\ntext", "---\njust a rule, text\n", "--- \n\ntext"])
def test_what_only_looks_like_front_matter_is_text(text: str) -> None:
    assert "text" in parse(text).text


@pytest.mark.parametrize(
    ("marked", "seen"),
    [
        ("snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"),
        ("![a picture](p.png) of [![badge](b.svg)](link)", "a picture of badge"),
        ("[text][1] and [a [b] c](x(y)z)", "text and a [b] c"),
        ("<https://example.org> <me@example.org>", "https://example.org me@example.org"),
        ("~~old~~ __new__ ***both*** **a*b**", "old new both a*b"),
        ("``a ` b`` and `<tag>`", "a ` b and <tag>"),
        ("5 < 6 & 7 > 3, AT&T &copy; &nosuch;", "5 < 6 & 7 > 3, AT&T © &nosuch;"),
        ("a note[^1] here", "a note here"),
    ],
)
def test_marks_inside_a_line(marked: str, seen: str) -> None:
    assert plain(marked) == seen


def test_lines_of_scripts_without_spaces_join_without_one() -> None:
    assert join_lines(["個人情報の保護", "に関する法律"]) == "個人情報の保護に関する法律"
    assert join_lines(["개인정보의", "처리"]) == "개인정보의 처리"


def test_html_in_markdown_is_read_as_html() -> None:
    text = "Before\n\n<table><tr><th>A</th><th>B</th></tr>\n\n<tr><td>1</td><td>2</td></tr></table>\n\nAfter"
    assert shown(parse(text)) == [("paragraph", "Before"), ("table_row", "A: 1; B: 2"), ("paragraph", "After")]


@pytest.mark.parametrize("mark", ["[", "**a ", "](", "_a ", "<a ", "> ", "| ", "`", "*", "- ", "~~a "])
def test_time_grows_with_length_and_no_faster(mark: str) -> None:
    started = time.process_time()
    parse("x" + mark * 20_000)
    assert time.process_time() - started < 5
