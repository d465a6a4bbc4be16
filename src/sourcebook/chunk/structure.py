"""Cuts a parsed document into passages along its structure.

The document is laid out as sections (a heading, or a run of headings, and what stands below it), each section
as atoms (sentences; of a sentence that is too long its clauses, words or characters). A passage is a run of
atoms of one section. Where a section needs several, they are as even as they can be, cut where it hurts least.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from sourcebook.errors import ConfigError
from sourcebook.language import detect, sentences
from sourcebook.types import Block, Chunk, ParsedDocument

CountTokens = Callable[[Sequence[str]], list[int]]


def chunk(document: ParsedDocument, *, budget: int, overlap: int, count_tokens: CountTokens) -> list[Chunk]:
    """The passages of a document, in order. Every character that is not white space is in one at least.

    budget: tokens that a passage may have, as the sum over its sentences; `count_tokens` gives the tokens of
    each text, and is called once or twice. Only a single character of more tokens than that may exceed it.
    Tokenizers made for Latin letters take other scripts apart, and passages would become crumbs: there a token
    is taken to be two characters at least (Korean, Japanese, Chinese), or three (Cyrillic, Arabic, ...).
    overlap: tokens, in whole sentences, that a passage may repeat of the one before it in the same section.

    A passage never reaches over a heading, except that headings with no text between them stay together with
    the text that follows. A table row is a passage of its own; headings right above it go with it.
    Errors: ConfigError if the budget is not positive, or the overlap not below it.
    """
    if budget < 1 or not 0 <= overlap < budget:
        raise ConfigError(
            f"A passage budget of {budget} tokens with an overlap of {overlap} cannot work",
            remedy="Give a budget above 0, and an overlap from 0 to below the budget",
        )
    sections = _sections(document)
    _lay_out(sections, document, budget, count_tokens)
    places = [(page.start, page.number) for page in document.pages]
    places = places or [(block.start, block.page) for block in document.blocks if block.page is not None]
    place_starts = [start for start, _ in places]
    chunks: list[Chunk] = []
    for section in sections:
        for start, end in _passages(section.atoms, budget, overlap):
            text = document.text[start:end]
            chunks.append(
                Chunk(
                    text=text,
                    start=start,
                    end=end,
                    heading_path=section.heading_path,
                    page=places[max(0, bisect_right(place_starts, start) - 1)][1] if places else None,
                    location=section.location,
                    language=detect(text) or document.language,
                )
            )
    return chunks


# --- a document as sections -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Atom:
    """The smallest piece that stays whole: [start, end) of the text. border: what kind of border ends it."""

    start: int
    end: int
    tokens: int
    border: int


_PARAGRAPH, _SENTENCE, _CLAUSE, _WORD = range(4)


@dataclass(slots=True)
class _Section:
    """Blocks that one passage may hold together."""

    heading_path: tuple[str, ...] = ()
    blocks: list[Block] = field(default_factory=list)
    atoms: list[_Atom] = field(default_factory=list)
    only_headings: bool = True

    @property
    def location(self) -> str | None:
        return next((block.location for block in self.blocks if block.location), None)

    def takes(self, block: Block) -> bool:
        """Whether the block may join what is here."""
        if not self.blocks:
            return True
        if block.kind == "heading":
            return self.only_headings and block.level > self.blocks[-1].level
        return self.only_headings or "table_row" not in (block.kind, self.blocks[-1].kind)


def _sections(document: ParsedDocument) -> list[_Section]:
    headings: list[tuple[int, str]] = []  # level and text of those that the current place stands under
    title = _one_line(document.title or "")
    sections: list[_Section] = []
    section = _Section()
    for block in _gapless(document):
        if not section.takes(block):
            sections.append(section)
            section = _Section(section.heading_path)
        if block.kind == "heading":
            while headings and headings[-1][0] >= block.level:
                headings.pop()
            headings.append((block.level, _one_line(document.text[block.start : block.end])))
            section.heading_path = tuple(text for _, text in headings if text != title)
        else:
            section.only_headings = False
        section.blocks.append(block)
    return [*sections, section] if section.blocks else sections


def _gapless(document: ParsedDocument) -> Iterator[Block]:
    """The blocks, with what stands between them: text as paragraphs, mere marks joined to the block behind."""
    text, position = document.text, 0
    for block in document.blocks:
        start, end = max(block.start, position), min(block.end, len(text))
        if start >= end:
            continue
        between = text[position:start]
        if not between or between.isspace():
            yield block if start == block.start else _moved(block, start, end)
        elif any(map(str.isalnum, between)):
            yield Block(kind="paragraph", start=position, end=start, page=block.page)
            yield _moved(block, start, end)
        else:
            yield _moved(block, position, end)
        position = end
    if position < len(text):
        yield Block(kind="paragraph", start=position, end=len(text))


def _moved(block: Block, start: int, end: int) -> Block:
    return Block(kind=block.kind, start=start, end=end, level=block.level, page=block.page, location=block.location)


def _one_line(text: str) -> str:
    return " ".join(text.split())


# --- sections as atoms ------------------------------------------------------------------------------------


def _lay_out(sections: list[_Section], document: ParsedDocument, budget: int, count_tokens: CountTokens) -> None:
    """Give every section its atoms. Counting is the dear part: all sentences go in one call."""
    text, language = document.text, document.language
    for section in sections:
        for block in section.blocks:
            for start, end in _units(text, block, language):
                section.atoms.append(_Atom(start, end, 0, _SENTENCE))
            if section.atoms:
                section.atoms[-1].border = _PARAGRAPH
    atoms = [atom for section in sections for atom in section.atoms]
    for atom, tokens in zip(atoms, _count(text, [(a.start, a.end) for a in atoms], count_tokens), strict=True):
        atom.tokens = tokens
    if any(atom.tokens > budget for atom in atoms):
        for section in sections:
            for pattern, border in _FINER:
                section.atoms = _finer(section.atoms, text, budget, count_tokens, pattern, border)
            section.atoms = _to_characters(section.atoms, text, budget, count_tokens)


def _units(text: str, block: Block, language: str | None) -> list[tuple[int, int]]:
    """The block's sentences; of code, its lines."""
    if block.kind == "code":
        return [line.span() for line in _LINE.finditer(text, block.start, block.end)]
    shift = block.start
    return [(shift + start, shift + end) for start, end in sentences(text[shift : block.end], language)]


def _finer(
    atoms: list[_Atom], text: str, budget: int, count_tokens: CountTokens, pattern: re.Pattern[str], border: int
) -> list[_Atom]:
    """The atoms, those beyond the budget cut where the pattern matches."""
    result: list[_Atom] = []
    for atom in atoms:
        if atom.tokens <= budget:
            result.append(atom)
            continue
        spans = [piece.span() for piece in pattern.finditer(text, atom.start, atom.end)]
        counts = _count(text, spans, count_tokens)
        result += [_Atom(start, end, n, border) for (start, end), n in zip(spans, counts, strict=True)]
        result[-1].border = atom.border
    return result


def _to_characters(atoms: list[_Atom], text: str, budget: int, count_tokens: CountTokens) -> list[_Atom]:
    """The atoms, words beyond the budget cut in halves until each part keeps to it."""
    result: list[_Atom] = []
    todo = atoms[::-1]
    while todo:
        atom = todo.pop()
        size = atom.end - atom.start
        if atom.tokens <= budget or size < 2:
            result.append(atom)
            continue
        # A token has about one character at least; so this often is the only cut that is needed.
        step = min(budget, -(-size // 2))
        spans = [(start, min(start + step, atom.end)) for start in range(atom.start, atom.end, step)]
        counts = _count(text, spans, count_tokens)
        parts = [_Atom(start, end, n, _WORD) for (start, end), n in zip(spans, counts, strict=True)]
        parts[-1].border = atom.border
        todo += parts[::-1]
    return result


def _count(text: str, spans: Sequence[tuple[int, int]], count_tokens: CountTokens) -> list[int]:
    """Tokens of each span, within what is plausible for its script."""
    pieces = [text[start:end] for start, end in spans]
    return [
        tokens if piece.isascii() or 3 * tokens <= len(piece) else min(tokens, _plausible(piece))
        for piece, tokens in zip(pieces, count_tokens(pieces), strict=True)
    ]


def _plausible(piece: str) -> int:
    """The most tokens that a piece not in Latin letters should have; of one in Latin letters, no limit."""
    wide, other = len(_WIDE.findall(piece)), len(_NOT_LATIN.findall(piece))
    if 2 * (wide + other) < len(piece):
        return len(piece.encode())
    return -(-len(piece) // (2 if wide > other else 3))


_WIDE: Final = re.compile(r"[\u1100-\u11ff\u3000-\u9fff\uac00-\ud7a3\uff00-\uffef\U00020000-\U0003134f]")
_NOT_LATIN: Final = re.compile(r"[\u0370-\u10ff\u1200-\u1dff]")
_LINE: Final = re.compile(r"\S(?:[^\n]*\S)?")
_FINER: Final = (
    (re.compile(r"\S(?:.*?[,;:、，；：](?=\s|[^\x00-\x7f])|.*?\S(?=\s*\n)|.*\S|)", re.DOTALL), _CLAUSE),
    (re.compile(r"\S+"), _WORD),
)


# --- atoms as passages ------------------------------------------------------------------------------------


def _passages(atoms: list[_Atom], budget: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Spans of the passages of one section."""
    rest = sum(atom.tokens for atom in atoms)
    first, previous = 0, -1
    while first < len(atoms):
        back = _repeated(atoms, first, previous + 1, overlap)
        room = budget - sum(atom.tokens for atom in atoms[back:first])
        last = len(atoms) if rest <= room else _cut(atoms, first, room, rest)
        if last == first:  # the repeated sentences leave no room for the next one
            back, last = first, first + 1
        yield atoms[back].start, atoms[last - 1].end
        rest -= sum(atom.tokens for atom in atoms[first:last])
        first, previous = last, back


def _repeated(atoms: list[_Atom], first: int, earliest: int, overlap: int) -> int:
    """Where a passage begins that adds what is from `first` on, and repeats whole sentences before that."""
    begin, tokens = first, 0
    for position in range(first - 1, max(0, earliest - 1), -1):
        tokens += atoms[position].tokens
        if tokens > overlap:
            break
        if atoms[position - 1].border <= _SENTENCE:
            begin = position
    return begin


def _cut(atoms: list[_Atom], first: int, room: int, rest: int) -> int:
    """Where to end the passage that begins at `first`: near an even share of the rest, at a good border."""
    share = rest / -(-rest // room)
    best, best_cost, tokens = first, float("inf"), 0
    for position in range(first, len(atoms)):
        tokens += atoms[position].tokens
        if tokens > room:
            break
        cost = abs(tokens - share) / share + _COST[atoms[position].border]
        if cost <= best_cost:
            best, best_cost = position + 1, cost
    return best


_COST: Final = (0.0, 0.25, 0.5, 0.75)  # of ending at a paragraph, sentence, clause, word
