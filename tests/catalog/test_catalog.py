"""The life of documents, versions, passages and embeddings in the catalog."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sourcebook.catalog import answers, reads
from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.embeddings import (
    Embedding,
    keep_embeddings,
    known_embeddings,
    live_points,
    text_key,
    unembedded,
)
from sourcebook.catalog.live import LivePassages
from sourcebook.catalog.records import Draft, Failure, SourceRecord, Staged
from sourcebook.catalog.staging import passage_id
from sourcebook.catalog.statements import sql
from sourcebook.errors import CatalogError, NotFound
from sourcebook.types import Answer, Chunk, Passage, PassageId, Question, Scope, Terms, Usage

ALICE = Scope(principals=frozenset({"alice"}))
BOB = Scope(principals=frozenset({"bob"}))


def draft(name: str, *texts: str, content: str | None = None, **more: Any) -> Draft:
    """A document whose passages are these texts, one after the other."""
    whole, chunks = "", []
    for text in texts:
        chunks.append(Chunk(text=text, start=len(whole), end=len(whole) + len(text), heading_path=("H",), page=2))
        whole += text + "\n"
    settings: dict[str, Any] = {
        "uri": f"file:///{name}",
        "tenant": "default",
        "source_id": 1,
        "access": frozenset(),
        "fingerprint": f"f-{content or texts}",
        "content_hash": content or "hash of " + "|".join(texts),
        "recipe": "recipe",
        "text": whole,
        "chunks": tuple(chunks),
        "text_keys": tuple(text_key(text) for text in texts),
        "title": name.title(),
        "metadata": {"name": name},
    }
    return Draft(**settings | more)


def publish(catalog: Catalog, *drafts: Draft) -> list[Staged]:
    staged = catalog.stage(drafts)
    catalog.commit(staged)
    return staged


def failure(name: str, **more: Any) -> Failure:
    settings: dict[str, Any] = {
        "uri": f"file:///{name}",
        "tenant": "default",
        "source_id": 1,
        "access": frozenset(),
        "fingerprint": "f",
        "content_hash": None,
        "recipe": "recipe",
        "error": "It is broken",
        "transient": False,
    }
    return Failure(**settings | more)


def found(catalog: Catalog, ids: Sequence[PassageId], scope: Scope | None = None) -> list[str]:
    fresh = LivePassages(catalog)
    passages = fresh.passages(ids, scope or Scope())
    live, epoch = fresh.ids(ids, scope or Scope())
    assert (live, epoch) == (set(passages), catalog.epoch())
    return sorted(passage.text for passage in passages.values())


def rows(catalog: Catalog, table: str) -> int:
    with catalog.reading() as connection:
        return int(connection.execute(sql(f"SELECT COUNT(*) FROM {table}")).scalar_one())


def embedding(number: float) -> Embedding:
    return Embedding(
        vector=np.array([number, 1.0], np.float32),
        terms=Terms(indices=np.array([7, 2**32 - 1], np.uint32), weights=np.array([number, 0.5], np.float32)),
    )


# --- the four steps ---------------------------------------------------------------------------------------


def test_staged_is_not_found_and_committed_is(catalog: Catalog) -> None:
    (one,) = catalog.stage([draft("a", "first", "second")])
    assert found(catalog, one.passages) == []
    assert reads.count_live(catalog) == (0, 0)
    assert list(reads.export(catalog)) == []
    with pytest.raises(NotFound):
        reads.whole_document(catalog, "file:///a", Scope())
    catalog.commit([one])
    assert found(catalog, one.passages) == ["first", "second"]
    assert reads.count_live(catalog) == (1, 2)


def test_the_old_version_answers_until_the_new_one_is_committed(catalog: Catalog) -> None:
    (old,) = publish(catalog, draft("a", "old"))
    (new,) = catalog.stage([draft("a", "new")])
    both = (*old.passages, *new.passages)
    assert (old.number, new.number, old.document_id) == (1, 2, new.document_id)
    assert found(catalog, both) == ["old"]
    catalog.commit([new])
    assert found(catalog, both) == ["new"]
    assert [(one.version_id, one.passages) for one in catalog.retired()] == [(old.version_id, old.passages)]


def test_a_batch_becomes_live_together(catalog: Catalog) -> None:
    before = catalog.epoch()
    staged = catalog.stage([draft("a", "one"), draft("b", "two")])
    assert catalog.epoch() == before
    catalog.commit(staged)
    assert catalog.epoch() == before + 1
    assert reads.count_live(catalog) == (2, 2)


def test_an_error_while_committing_leaves_everything_as_it_was(catalog: Catalog) -> None:
    (old,) = publish(catalog, draft("a", "old"))
    (new,) = catalog.stage([draft("a", "new")])
    broken = replace(new, draft=replace(new.draft, fingerprint=None))  # type: ignore[arg-type]
    with pytest.raises(CatalogError, match=r"(?i)not.null"):
        catalog.commit([new, broken])
    assert found(catalog, (*old.passages, *new.passages)) == ["old"]
    assert catalog.retired() == []


def test_purged_versions_are_forgotten_and_nothing_else(catalog: Catalog) -> None:
    publish(catalog, draft("a", "old", "same"), draft("b", "other"))
    publish(catalog, draft("a", "new", "same"))
    assert (rows(catalog, "version"), rows(catalog, "parsed"), rows(catalog, "passage")) == (3, 3, 5)
    catalog.purge(catalog.retired())
    assert (rows(catalog, "version"), rows(catalog, "parsed"), rows(catalog, "passage")) == (2, 2, 3)
    assert catalog.retired() == []
    assert reads.count_live(catalog) == (2, 3)


def test_withdrawn_documents_are_gone_at_once(catalog: Catalog) -> None:
    staged = publish(catalog, draft("a", "one"), draft("b", "two"))
    pending = catalog.stage([draft("a", "one more")])
    before = catalog.epoch()
    catalog.withdraw([staged[0].document_id])
    assert catalog.epoch() > before
    assert found(catalog, [name for one in (*staged, *pending) for name in one.passages]) == ["two"]
    assert [entry.uri for entry in reads.ledger(catalog)] == ["file:///b"]
    assert set(catalog.documents("default")) == {"file:///b"}
    assert len(catalog.retired()) == 2
    catalog.purge(catalog.retired())
    assert rows(catalog, "document") == 1
    catalog.withdraw([])


def test_a_deleted_document_may_come_back(catalog: Catalog) -> None:
    (first,) = publish(catalog, draft("a", "one"))
    catalog.withdraw([first.document_id])
    (again,) = publish(catalog, draft("a", "one"))
    assert again.number == 2
    assert found(catalog, (*first.passages, *again.passages)) == ["one"]
    assert not set(first.passages) & set(again.passages)


def test_what_an_interrupted_run_staged_is_abandoned(catalog: Catalog) -> None:
    (live,) = publish(catalog, draft("a", "one"))
    catalog.stage([draft("a", "two"), draft("b", "three")])
    assert catalog.abandon_staged() == 2
    assert catalog.abandon_staged() == 0
    catalog.purge(catalog.retired())
    catalog.drop_pending()
    assert [(entry.uri, entry.state) for entry in reads.ledger(catalog)] == [("file:///a", "live")]
    assert found(catalog, live.passages) == ["one"]
    assert rows(catalog, "version") == 1


# --- names ------------------------------------------------------------------------------------------------


def test_ids_name_what_the_passage_is(catalog: Catalog) -> None:
    base = ("default", "file:///a", 1, 0, "text")
    assert passage_id(*base) == passage_id(*base)
    assert len(passage_id(*base)) == 32
    int(passage_id(*base), 16)
    others = [
        ("other", *base[1:]),
        ("default", "file:///b", *base[2:]),
        (*base[:2], 2, 0, "text"),
        (*base[:3], 1, "text"),
        (*base[:4], "t"),
    ]
    assert len({passage_id(*one) for one in [base, *others]}) == 6
    assert passage_id("default", "a", 1, 0, "\ud800")


def test_ids_are_the_same_wherever_a_version_is_staged(another: Callable[[], str], tmp_path: Path) -> None:
    ids = []
    for _ in range(2):
        one = Catalog(another(), tmp_path)
        ids.append([staged.passages for staged in one.stage([draft("a", "x", "y"), draft("b", "x")])])
        one.close()
    assert ids[0] == ids[1]
    assert len({name for passages in ids[0] for name in passages}) == 3
    assert passage_id("default", "file:///a", 1, 1, "y") == ids[0][0][1]


def test_versions_count_up_and_do_not_reuse_a_number(catalog: Catalog) -> None:
    numbers = []
    for number in range(3):
        (staged,) = catalog.stage([draft("a", f"text {number}")])
        numbers.append(staged.number)
        catalog.abandon_staged()
        catalog.purge(catalog.retired())
    assert numbers == [1, 2, 3]


# --- who may see it ---------------------------------------------------------------------------------------


def test_scope_and_tenant_decide_what_is_found_and_counted(catalog: Catalog) -> None:
    staged = publish(
        catalog,
        draft("open", "for all"),
        draft("closed", "for alice", access=frozenset({"alice", "hr"})),
        draft("open", "elsewhere", tenant="other"),
    )
    ids = [name for one in staged for name in one.passages]
    assert found(catalog, ids) == ["for all"]
    assert found(catalog, ids, ALICE) == ["for alice", "for all"]
    assert found(catalog, ids, BOB) == ["for all"]
    assert found(catalog, ids, Scope(tenant="other", principals=frozenset({"alice"}))) == ["elsewhere"]
    assert reads.count_live(catalog, Scope()) == (1, 1)
    assert reads.count_live(catalog, ALICE) == (2, 2)
    assert reads.count_live(catalog, Scope(tenant="nobody")) == (0, 0)
    assert reads.count_live(catalog) == (3, 3)
    for scope, expected in ((Scope(), None), (ALICE, "for alice"), (BOB, None), (Scope(tenant="other"), None)):
        assert reads.quote(catalog, "file:///closed", 1, 0, 9, scope) == expected
    with pytest.raises(NotFound, match="No live document"):
        reads.whole_document(catalog, "file:///closed", BOB)
    assert reads.whole_document(catalog, "file:///open", Scope(tenant="other"))[0] == "elsewhere\n"


def test_restricting_is_effective_at_once(catalog: Catalog) -> None:
    (one,) = publish(catalog, draft("a", "text"))
    before = catalog.epoch()
    catalog.restrict([(one.document_id, frozenset({"alice"}))])
    assert catalog.epoch() > before
    assert found(catalog, one.passages, BOB) == []
    assert found(catalog, one.passages, ALICE) == ["text"]
    assert reads.quote(catalog, "file:///a", 1, 0, 4, BOB) is None


# --- what is read -----------------------------------------------------------------------------------------


def test_a_passage_comes_back_whole(catalog: Catalog) -> None:
    chunk = Chunk(
        text="수수료 table", start=3, end=12, heading_path=("One", "한"), page=7, location="Sheet1!7", language="ko"
    )
    (staged,) = publish(
        catalog,
        draft("a", metadata={"tags": ("x", "y"), "n": 1, "f": 0.5, "b": True, "s": "문"}, title=None,
              text="xx\n수수료 table", chunks=(chunk,), text_keys=("k",), content="c"),
    )  # fmt: skip
    passages = LivePassages(catalog).passages(staged.passages, Scope())
    assert passages == {
        staged.passages[0]: Passage(
            id=staged.passages[0], document="file:///a", version=1, ordinal=0, text="수수료 table", start=3, end=12,
            title=None, heading_path=("One", "한"), page=7, location="Sheet1!7", language="ko",
            metadata={"tags": ("x", "y"), "n": 1, "f": 0.5, "b": True, "s": "문"},
        )
    }  # fmt: skip


def test_many_ids_and_unknown_ones(catalog: Catalog) -> None:
    texts = [f"text {number}" for number in range(2000)]
    (staged,) = publish(catalog, draft("a", *texts, content="c"))
    unknown = [PassageId(f"{number:032x}") for number in range(500)]
    assert found(catalog, [*unknown, *staged.passages]) == sorted(texts)
    assert found(catalog, []) == []


def test_quotes_are_cut_by_characters_from_the_live_version(catalog: Catalog) -> None:
    text = "a\N{SMILING FACE WITH OPEN MOUTH}한글\n\n end"
    publish(catalog, draft("a", text, content="1"))
    for start in range(len(text)):
        for end in range(start + 1, len(text) + 1):
            assert reads.quote(catalog, "file:///a", 1, start, end, Scope()) == text[start:end]
    assert reads.quote(catalog, "file:///a", 2, 0, 3, Scope()) is None
    assert reads.quote(catalog, "file:///b", 1, 0, 3, Scope()) is None
    assert reads.quote(catalog, "file:///a", 1, 500, 503, Scope()) is None
    publish(catalog, draft("a", "other", content="2"))
    assert reads.quote(catalog, "file:///a", 1, 0, 3, Scope()) is None


def test_reusable_is_what_was_made_from_the_same_bytes_by_the_same_recipe(catalog: Catalog) -> None:
    made = draft("a", "one", "two", content="hash", language="en", metadata={"tags": ("x",)})
    assert catalog.reusable("hash", "recipe") is None
    (staged,) = publish(catalog, made)
    same = catalog.reusable("hash", "recipe")
    assert same is not None
    assert (same.text, same.chunks, same.text_keys) == (made.text, made.chunks, made.text_keys)
    assert (same.title, same.language, same.metadata) == ("A", "en", {"tags": ("x",)})
    assert catalog.reusable("hash", "another recipe") is None
    assert catalog.reusable("another hash", "recipe") is None
    catalog.withdraw([staged.document_id])
    assert catalog.reusable("hash", "recipe") == same  # moved: gone there, and not yet here
    catalog.purge(catalog.retired())
    assert catalog.reusable("hash", "recipe") is None


def test_the_ledger_tells_what_is_in_and_what_failed(catalog: Catalog) -> None:
    source = catalog.add_source("file:///")
    publish(catalog, draft("b", "one", "two", source_id=source.id, seconds={"parse": 0.12345678}))
    catalog.fail([failure("a", source_id=source.id), failure("c", source_id=99, transient=True)])
    a, b, c = reads.ledger(catalog)
    assert (a.uri, a.source, a.state, a.answering, a.error, a.attempts, a.version, a.passages) == (
        "file:///a", "file:///", "failed", False, "It is broken", 1, 0, 0,
    )  # fmt: skip
    assert (b.state, b.answering, b.error, b.attempts, b.version, b.passages, b.content_hash) == (
        "live", True, None, 1, 1, 2, "hash of one|two",
    )  # fmt: skip
    assert b.seconds == {"parse": 0.123457}
    assert b.updated.endswith("+00:00")
    assert c.source == ""
    assert catalog.documents("default")["file:///c"].transient


def test_a_failure_keeps_the_version_before_and_counts_attempts(catalog: Catalog) -> None:
    (staged,) = publish(catalog, draft("a", "old"))
    catalog.fail([failure("a", content_hash="new")])
    catalog.fail([failure("a", content_hash="new", error="Still broken")])
    (entry,) = reads.ledger(catalog)
    assert (entry.state, entry.answering, entry.error, entry.attempts, entry.passages) == (
        "failed",
        True,
        "Still broken",
        3,
        1,
    )
    assert found(catalog, staged.passages) == ["old"]
    (record,) = catalog.documents("default").values()
    assert (record.state, record.live, record.transient, record.content_hash) == ("failed", True, False, "new")
    publish(catalog, draft("a", "new"))
    (entry,) = reads.ledger(catalog)
    assert (entry.state, entry.error, entry.attempts, entry.version) == ("live", None, 4, 2)


def test_equal_states_export_equal_rows(another: Callable[[], str], tmp_path: Path) -> None:
    exports = []
    for history in ([["a", "b"]], [["b"], ["a"]], [["b", "c", "a"], ["a"]]):
        catalog = Catalog(another(), tmp_path)
        for names in history:
            publish(catalog, *(draft(name, f"text of {name}", "more") for name in names))
        if (extra := catalog.documents("default").get("file:///c")) is not None:
            catalog.withdraw([extra.id])
        exports.append(list(reads.export(catalog)))
        catalog.close()
    assert exports[0] == exports[1] == exports[2]
    assert exports[0] == [
        {"kind": "document", "uri": "file:///a", "tenant": "default", "hash": "hash of text of a|more"},
        {"kind": "document", "uri": "file:///b", "tenant": "default", "hash": "hash of text of b|more"},
        {"kind": "passage", "document": "file:///a", "tenant": "default", "start": 0, "end": 9, "text": "text of a"},
        {"kind": "passage", "document": "file:///a", "tenant": "default", "start": 10, "end": 14, "text": "more"},
        {"kind": "passage", "document": "file:///b", "tenant": "default", "start": 0, "end": 9, "text": "text of b"},
        {"kind": "passage", "document": "file:///b", "tenant": "default", "start": 10, "end": 14, "text": "more"},
    ]


def test_an_export_sees_one_state(catalog: Catalog) -> None:
    publish(catalog, draft("a", "old"))
    running = reads.export(catalog)
    first = next(running)
    publish(catalog, draft("a", "new"), draft("b", "more"))
    assert [first["hash"], *(row.get("text") for row in running)] == ["hash of old", "old"]


# --- sources ----------------------------------------------------------------------------------------------


def test_sources_are_kept_in_order_and_changed_by_adding_them_again(catalog: Catalog) -> None:
    first = catalog.add_source("file:///z", access=frozenset({"b", "a"}), include=["*.md"], exclude=["x"])
    assert first == SourceRecord(id=1, url="file:///z", access=frozenset({"a", "b"}), include=("*.md",), exclude=("x",))
    second = catalog.add_source("file:///a")
    other = catalog.add_source("file:///a", tenant="other")
    again = catalog.add_source("file:///z", access=frozenset({"c"}))
    assert again == SourceRecord(id=first.id, url="file:///z", access=frozenset({"c"}))
    assert catalog.sources() == [again, second, other]


def test_removing_a_source_withdraws_its_documents_alone(catalog: Catalog) -> None:
    one, two = catalog.add_source("file:///one"), catalog.add_source("file:///two")
    publish(catalog, draft("one/a", "text", source_id=one.id), draft("two/b", "text", source_id=two.id))
    catalog.fail([failure("one/c", source_id=one.id)])
    assert catalog.remove_source(one.id) == 2
    assert catalog.sources() == [two]
    assert set(catalog.documents("default")) == {"file:///two/b"}
    assert catalog.remove_source(99) == 0


def test_refreshing_changes_the_fingerprint_alone(catalog: Catalog) -> None:
    (one,) = publish(catalog, draft("a", "text"))
    before = catalog.documents("default")["file:///a"]
    epoch = catalog.epoch()
    catalog.refresh([(one.document_id, "new")])
    assert catalog.documents("default")["file:///a"] == replace(before, fingerprint="new")
    assert catalog.epoch() == epoch


def test_the_identity_of_the_index_is_kept(url: str, tmp_path: Path) -> None:
    catalog = Catalog(url, tmp_path)
    assert catalog.index_identity() is None
    catalog.set_index_identity("one:two")
    catalog.close()
    again = Catalog(url, tmp_path)
    assert again.index_identity() == "one:two"
    again.close()


# --- embeddings -------------------------------------------------------------------------------------------


def test_embeddings_are_kept_by_fingerprint_and_text(catalog: Catalog) -> None:
    keep_embeddings(catalog, "model-1", {"k": embedding(0.25), "l": embedding(2.0)})
    keep_embeddings(catalog, "model-1", {"k": embedding(9.0)})  # a retry changes nothing
    keep_embeddings(catalog, "model-1", {})
    known = known_embeddings(catalog, "model-1", ["k", "l", "m"])
    assert set(known) == {"k", "l"}
    for name, number in (("k", 0.25), ("l", 2.0)):
        expected = embedding(number)
        assert np.array_equal(known[name].vector, expected.vector)
        assert np.array_equal(known[name].terms.indices, expected.terms.indices)
        assert np.array_equal(known[name].terms.weights, expected.terms.weights)
        assert str(known[name].vector.dtype) == "float32"
        assert str(known[name].terms.indices.dtype) == "uint32"
    assert known_embeddings(catalog, "model-2", ["k"]) == {}


def test_embeddings_that_nobody_uses_are_dropped_with_the_version(catalog: Catalog) -> None:
    publish(catalog, draft("a", "only here", "shared"), draft("b", "shared"))
    keys = [text_key("only here"), text_key("shared")]
    for model in ("model-1", "model-2"):
        keep_embeddings(catalog, model, dict.fromkeys(keys, embedding(1.0)))
    catalog.withdraw([catalog.documents("default")["file:///a"].id])
    assert set(known_embeddings(catalog, "model-1", keys)) == set(keys)
    catalog.purge(catalog.retired())
    for model in ("model-1", "model-2"):
        assert set(known_embeddings(catalog, model, keys)) == {text_key("shared")}


def test_live_points_are_every_live_passage_with_an_embedding(catalog: Catalog) -> None:
    staged = publish(
        catalog,
        *(draft(f"d{number}", f"text {number}", access=frozenset({"x"}), tenant="t") for number in range(7)),
    )
    keys = [text_key(f"text {number}") for number in range(6)]
    keep_embeddings(catalog, "m", {key: embedding(float(number)) for number, key in enumerate(keys)})
    catalog.stage([draft("d0", "text 1")])
    catalog.withdraw([staged[1].document_id])
    points = [point for some in live_points(catalog, "m", size=2) for point in some]
    wanted = {staged[number].passages[0]: float(number) for number in (0, 2, 3, 4, 5)}
    assert {point.id: point.vector[0] for point in points} == wanted
    assert all(point.tenant == "t" and point.access == {"x"} and "name" in point.metadata for point in points)
    assert list(live_points(catalog, "other")) == []


def test_what_has_no_embedding_is_named_once(catalog: Catalog) -> None:
    publish(catalog, draft("a", "same", "own"), draft("b", "same"))
    keep_embeddings(catalog, "m", {text_key("own"): embedding(1.0)})
    (missing,) = unembedded(catalog, "m", limit=10)
    assert (missing.key, missing.text, missing.heading_path) == (text_key("same"), "same", ("H",))
    keep_embeddings(catalog, "m", {missing.key: embedding(1.0)})
    assert unembedded(catalog, "m", limit=10) == []
    assert len(unembedded(catalog, "other", limit=1)) == 1


def test_text_keys_tell_texts_apart() -> None:
    texts = ["", "a", "a ", "A", "\u00e9", "e\u0301", "\ud800"]
    assert len({text_key(text) for text in texts}) == len(texts)
    assert text_key("a") == text_key("a") == "27c35e6e9373877f29e562464e46497e"


# --- answers ----------------------------------------------------------------------------------------------


def test_an_answer_is_kept_with_what_made_it(catalog: Catalog) -> None:
    answer = Answer(
        id="x1", question="왜?", text="Because.", known=True, citations=(), model="m-1", usage=Usage(input_tokens=3)
    )
    question = Question(text="왜?", scope=Scope(tenant="t", principals=frozenset({"b", "a"})), top=4)
    answers.record_answer(catalog, question, answer, {"prompt": "p-1"})
    record = answers.recorded_answer(catalog, "x1", Scope(tenant="t", principals=frozenset({"a", "b"})))
    assert (record["id"], record["question"], record["answer"], record["known"]) == ("x1", "왜?", "Because.", True)
    assert (record["model"], record["prompt"], record["top"], record["filter"]) == ("m-1", "p-1", 4, None)
    assert record["asked_by"] == {"tenant": "t", "principals": ["a", "b"]}
    assert record["usage"]["input_tokens"] == 3
    with pytest.raises(NotFound):
        answers.recorded_answer(catalog, "x2", Scope(tenant="t"))
