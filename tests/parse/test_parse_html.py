"""HTML: what a reader of the page reads."""

import time

import pytest

from sourcebook.parse.base import Limits
from sourcebook.parse.html import WebPageParser
from sourcebook.types import ParsedDocument
from tests.parse.parsing_checks import located, shown

PAGE = """<!DOCTYPE html><html><head><title>Fees &amp; dates</title><meta name=author content="A. Author">
<style>p {color: red}</style><script>var x = "<p>no</p>";</script></head>
<body><nav><a href=/>Home</a></nav><div class="cookie-banner">We use cookies</div>
<h1>Fees</h1><p>First <b>para</b>graph<br>second line &ndash; &#8364;5.
<p>Unclosed<ul><li>one<li>two<ul><li>deeper</ul></ul>
<ol start=3><li>three</ol>
<pre>  x = 1
  y = 2</pre>
<table><tr><th>Name<th>Amount</tr><tr><td rowspan=2>Kim<td>1</tr><tr><td>2</table>
<p hidden>not seen</p><!-- remark --><form><input><button>Go</button></form></body></html>"""


def parse(text: str) -> ParsedDocument:
    return WebPageParser().parse(text.encode(), "a.html", Limits())


def test_every_construct() -> None:
    document = parse(PAGE)
    assert document.title == "Fees & dates"
    assert document.metadata == {"author": "A. Author"}
    assert shown(document) == [
        ("heading", "Fees"),
        ("paragraph", "First paragraph\nsecond line – €5."),
        ("paragraph", "Unclosed"),
        ("list_item", "one"),
        ("list_item", "two"),
        ("list_item", "deeper"),
        ("list_item", "3. three"),
        ("code", "  x = 1\n  y = 2"),
        ("table_row", "Name: Kim; Amount: 1"),
        ("table_row", "Name: Kim; Amount: 2"),
    ]
    assert [location for location, _ in located(document)] == ["table 1 row 2", "table 1 row 3"]


def test_the_main_part_is_what_counts_where_the_page_marks_it() -> None:
    text = "The article says this. " * 40
    document = parse(f"<header>Menu</header><main><p>{text}</p></main><footer>Imprint</footer>")
    assert shown(document) == [("paragraph", text.strip())]


def test_a_page_of_nothing_but_furniture_is_still_read() -> None:
    assert shown(parse('<div class="nav"><h2>Home</h2></div>')) == [("heading", "Home")]


def test_layout_tables_are_no_tables() -> None:
    text = "<table><tr><td>Menu<td><table><tr><th>A<th>B<tr><td>1<td>2</table><tr><td>End</table>"
    assert located(parse(text)) == [("table 2 row 2", "A: 1; B: 2")]
    assert [text for kind, text in shown(parse(text)) if kind == "paragraph"] == ["Menu", "End"]


def test_tables_with_names_of_rows_and_several_header_rows() -> None:
    named = "<table><tr><th>Kingdom<td>Animalia<tr><th>Class:<td>Aves</table>"
    assert [text for _, text in located(parse(named))] == ["Kingdom: Animalia", "Class: Aves"]
    double = "<table><tr><th rowspan=2>Who<th colspan=2>Result<tr><th>Yes<th>No<tr><td>Kim<td>1<td>2</table>"
    assert located(parse(double)) == [("table 1 row 3", "Who: Kim; Result / Yes: 1; Result / No: 2")]


def test_the_declared_charset_is_used() -> None:
    page = '<meta charset="euc-kr"><p>수수료</p>'.encode("cp949")
    assert WebPageParser().parse(page, "a.html", Limits()).text == "수수료"


@pytest.mark.parametrize("mark", ["<div>", "<", "<!--", "<![CDATA[", "<table><tr><td>", "&", "<b>", "</i>", "<a b='"])
def test_time_grows_with_length_and_no_faster(mark: str) -> None:
    started = time.process_time()
    parse("<p>text</p>" + mark * 10_000)
    assert time.process_time() - started < 5
