from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sourcebook.chunk import chunk
from sourcebook.errors import ConfigError
from sourcebook.types import Block, BlockKind, Chunk, Page, ParsedDocument


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def document(*parts: tuple[BlockKind, str] | tuple[BlockKind, str, int], title: str | None = None) -> ParsedDocument:
    """Blocks of (kind, text) or ("heading", text, level) set apart by blank lines."""
    text = ""
    blocks: list[Block] = []
    for kind, body, *level in parts:
        start = len(text)
        location = f"row {len(blocks) + 1}" if kind == "table_row" else None
        blocks.append(
            Block(kind=kind, start=start, end=start + len(body), level=level[0] if level else 0, location=location)
        )
        text += body + "\n\n"
    return ParsedDocument(text=text, blocks=tuple(blocks), title=title)


def cut(parsed: ParsedDocument, budget: int, overlap: int = 0) -> list[Chunk]:
    return chunk(parsed, budget=budget, overlap=overlap, count_tokens=words)


def test_packs_short_paragraphs_and_counts_once() -> None:
    calls: list[Sequence[str]] = []

    def count(texts: Sequence[str]) -> list[int]:
        calls.append(texts)
        return words(texts)

    parsed = document(("paragraph", "One two. Three four."), ("paragraph", "Five six."), ("paragraph", "Seven eight."))
    found = chunk(parsed, budget=6, overlap=0, count_tokens=count)
    assert [c.text for c in found] == ["One two. Three four.", "Five six.\n\nSeven eight."]
    assert len(calls) == 1


def test_one_passage_if_all_fits() -> None:
    parsed = document(("paragraph", "One two. Three."), ("list_item", "- four"))
    assert [c.text for c in cut(parsed, 5)] == ["One two. Three.\n\n- four"]


def test_long_paragraphs_are_cut_evenly_at_sentences() -> None:
    parsed = document(("paragraph", " ".join(f"This is sentence {n}." for n in range(6))))
    assert [len(c.text.split()) for c in cut(parsed, 20)] == [12, 12]


def test_does_not_reach_over_headings() -> None:
    parsed = document(
        ("heading", "Guide", 1), ("heading", "Part A", 2), ("paragraph", "Alpha."), ("heading", "Detail", 3),
        ("paragraph", "Beta."), ("heading", "Part B", 2), ("heading", "Part C", 2),
        ("paragraph", "Gamma."), title="Guide",
    )  # fmt: skip
    assert [(c.text, c.heading_path) for c in cut(parsed, 100)] == [
        ("Guide\n\nPart A\n\nAlpha.", ("Part A",)),
        ("Detail\n\nBeta.", ("Part A", "Detail")),
        ("Part B", ("Part B",)),
        ("Part C\n\nGamma.", ("Part C",)),
    ]


def test_rows_are_passages() -> None:
    parsed = document(
        ("heading", "Fees", 1), ("table_row", "a: 1"), ("table_row", "a: 2"), ("paragraph", "Notes.")
    )  # fmt: skip
    assert [(c.text, c.location, c.heading_path) for c in cut(parsed, 100)] == [
        ("Fees\n\na: 1", "row 2", ("Fees",)),
        ("a: 2", "row 3", ("Fees",)),
        ("Notes.", None, ("Fees",)),
    ]


def test_overlap_repeats_whole_sentences_within_the_budget() -> None:
    parsed = document(("paragraph", "Aa bb cc. Dd ee. Ff gg hh. Ii jj. Kk ll mm."))
    found = [c.text for c in cut(parsed, 7, overlap=2)]
    assert found == ["Aa bb cc. Dd ee.", "Dd ee. Ff gg hh. Ii jj.", "Ii jj. Kk ll mm."]


def test_overlap_does_not_cross_headings() -> None:
    parsed = document(("paragraph", "A b."), ("heading", "H", 1), ("paragraph", "C d."))
    assert [c.text for c in cut(parsed, 10, overlap=5)] == ["A b.", "H\n\nC d."]


def test_cuts_endless_sentences_at_clauses_then_words_then_characters() -> None:
    parsed = document(("paragraph", "one two three, four five six, seven"))
    assert [c.text for c in cut(parsed, 4)] == ["one two three,", "four five six, seven"]
    parsed = document(("paragraph", "one two three four five six"))
    assert [c.text for c in cut(parsed, 4)] == ["one two three", "four five six"]
    parsed = document(("paragraph", "abcdefghij"))
    found = chunk(parsed, budget=4, overlap=0, count_tokens=lambda texts: [len(text) for text in texts])
    assert [c.text for c in found] == ["abcd", "efgh", "ij"]


def test_code_is_cut_at_lines() -> None:
    parsed = document(("code", "x = a.b()\ny = [x. Z]\n\nz = 3"))
    assert [c.text for c in cut(parsed, 4)] == ["x = a.b()", "y = [x. Z]", "z = 3"]


def test_text_between_blocks_is_kept() -> None:
    text = "stray words\n## Head\n\n- item"
    blocks = (Block(kind="heading", start=15, end=19, level=2), Block(kind="list_item", start=23, end=27))
    found = cut(ParsedDocument(text=text, blocks=blocks), 20)
    assert [c.text for c in found] == ["stray words\n##", "Head\n\n- item"]


def test_page_is_where_the_passage_begins() -> None:
    parsed = document(("paragraph", "One two."), ("paragraph", "Three four."))
    pages = (Page(number=4, start=0, end=10), Page(number=5, start=10, end=len(parsed.text)))
    parsed = ParsedDocument(text=parsed.text, blocks=parsed.blocks, pages=pages)
    assert [c.page for c in cut(parsed, 2)] == [4, 5]
    assert [c.page for c in cut(parsed, 4)] == [4]


def test_page_of_the_block_where_there_are_no_pages() -> None:
    blocks = (Block(kind="paragraph", start=0, end=4, page=2), Block(kind="paragraph", start=5, end=9, page=3))
    parsed = ParsedDocument(text="One.\nTwo.", blocks=blocks)
    assert [(c.text, c.page) for c in cut(parsed, 1)] == [("One.", 2), ("Two.", 3)]


def test_knows_the_language() -> None:
    parsed = document(("paragraph", "처리자는 지체 없이 알려야 한다."), ("heading", "B", 1), ("paragraph", "x y"))
    parsed = ParsedDocument(text=parsed.text, blocks=parsed.blocks, language="en")
    assert [c.language for c in cut(parsed, 20)] == ["ko", "en"]


def test_does_not_let_foreign_tokenizers_crumble_other_scripts() -> None:
    sentence = "처리자는 지체 없이 감독기관에 알려야 한다."
    parsed = document(("paragraph", f"{sentence} {sentence}"))
    found = chunk(parsed, budget=len(sentence), overlap=0, count_tokens=lambda texts: [3 * len(t) for t in texts])
    assert [c.text for c in found] == [f"{sentence} {sentence}"]


@pytest.mark.parametrize(("budget", "overlap"), [(0, 0), (5, 5), (5, -1)])
def test_rejects_budgets_that_cannot_work(budget: int, overlap: int) -> None:
    with pytest.raises(ConfigError):
        cut(document(("paragraph", "A.")), budget, overlap)


KINDS: list[BlockKind] = ["heading", "paragraph", "list_item", "table_row", "code"]
PIECES = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.text(alphabet=st.sampled_from("ab Z.,!?。다요\n\t-3"), max_size=60),
        st.integers(1, 3),
        st.sampled_from(["", "\n", "\n\n", " | ", "\nstray text\n", "## "]),
    ),
    max_size=8,
)


@settings(deadline=None, derandomize=True)
@given(PIECES, st.integers(1, 12), st.integers(0, 11))
def test_loses_nothing_and_keeps_to_the_budget(
    pieces: list[tuple[BlockKind, str, int, str]], budget: int, overlap: int
) -> None:
    text, blocks = "", []
    for kind, body, level, gap in pieces:
        text += gap
        blocks.append(Block(kind=kind, start=len(text), end=len(text) + len(body), level=level))
        text += body
    text += pieces[-1][3] if pieces else ""
    parsed = ParsedDocument(text=text, blocks=tuple(blocks))
    found = cut(parsed, budget, min(overlap, budget - 1))
    inside: set[int] = set()
    for c in found:
        assert c.text == text[c.start : c.end] == c.text.strip() != ""
        assert len(c.text.split()) <= budget or not c.text.isascii()
        inside.update(range(c.start, c.end))
    assert all(n in inside or character.isspace() for n, character in enumerate(text))
    assert [c.start for c in found] == sorted(c.start for c in found)
