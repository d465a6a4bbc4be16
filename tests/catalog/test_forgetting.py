"""What was made from a document goes with it, whoever is at work at the time."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.conversations import keep_exchange, keep_summary, read_conversation, start_conversation
from sourcebook.catalog.origins import Origin, forget_gone
from sourcebook.catalog.records import Staged
from sourcebook.catalog.statements import sql
from sourcebook.types import Scope
from tests.catalog.drafts import ALICE, NOBODY, publish, rows
from tests.catalog.remembered import ALICE_IN_SALES, document, facts, say, texts


def test_a_deleted_document_is_gone_from_memory_when_the_delete_returns(
    catalog: Catalog, told: tuple[str, Staged, Staged]
) -> None:
    name, one, _ = told
    catalog.withdraw([one.document_id])
    read = read_conversation(catalog, name, NOBODY)
    assert [(turn.text, turn.removed, turn.answer_id is None) for turn in read.turns] == [
        ("What is the fee?", False, True),
        ("", True, True),
        ("What do lamps cost?", False, True),
        ("Lamps cost 49.", False, False),
        ("And in all?", False, True),
        ("", True, True),
    ]
    assert (read.summary, read.summarised, read.summary_origins) == ("", 0, frozenset())
    assert facts(catalog) == ["I buy lamps."]
    with catalog.reading() as connection:
        kept = [
            *connection.execute(sql("SELECT text || COALESCE(answer_id, '') FROM turn")).scalars(),
            *connection.execute(sql("SELECT summary FROM conversation")).scalars(),
            *connection.execute(sql("SELECT text FROM memory")).scalars(),
        ]
    assert not any("3%" in text or "50.47" in text for text in kept)


def test_what_another_document_gave_stays(catalog: Catalog, told: tuple[str, Staged, Staged]) -> None:
    name, _, _ = told
    unrelated = document(catalog, "c", "Something else.")
    before = read_conversation(catalog, name, NOBODY)
    catalog.withdraw([unrelated.document_id])
    assert read_conversation(catalog, name, NOBODY) == before


def test_removing_a_source_forgets_as_well(catalog: Catalog, told: tuple[str, Staged, Staged]) -> None:
    name, _, _ = told
    assert catalog.remove_source(1) == 2
    read = read_conversation(catalog, name, NOBODY)
    assert [turn.removed for turn in read.turns] == [False, True, False, True, False, True]
    assert read.summary == ""


def test_a_superseded_version_is_not_remembered(catalog: Catalog, told: tuple[str, Staged, Staged]) -> None:
    name, one, _ = told
    document(catalog, "a", "The fee is 5%.")
    read = read_conversation(catalog, name, NOBODY)
    assert [turn.text for turn in read.turns if turn.role == "assistant"] == ["", "Lamps cost 49.", ""]
    assert read.summary == ""
    assert facts(catalog) == ["I buy lamps."]
    with catalog.writing() as connection:
        forget_gone(connection, [one.document_id])  # what the commit does, for good
        kept = connection.execute(sql("SELECT text FROM turn")).scalars().all()
    assert not any("3%" in text for text in kept)


def test_a_document_that_is_only_cut_anew_is_remembered(catalog: Catalog, told: tuple[str, Staged, Staged]) -> None:
    """A new recipe, of new settings or a new release, makes a version of the same bytes."""
    name, one, _ = told
    before = read_conversation(catalog, name, NOBODY)
    (new,) = publish(catalog, replace(one.draft, recipe="another recipe"))
    read = read_conversation(catalog, name, NOBODY)
    assert [(turn.text, turn.removed) for turn in read.turns] == [(turn.text, turn.removed) for turn in before.turns]
    assert read.summary == before.summary
    assert read.turns[1].origins == {Origin(document_id=one.document_id, version_id=new.version_id)}
    assert sorted(facts(catalog)) == ["I buy lamps.", "I pay 3%."]
    catalog.withdraw([one.document_id])
    assert [turn.removed for turn in read_conversation(catalog, name, NOBODY).turns[1::2]] == [True, False, True]


def test_what_was_made_of_tables_goes_with_them(catalog: Catalog) -> None:
    one = document(catalog, "pay.csv", "Anna,40")
    name = start_conversation(catalog, NOBODY)
    pay = ("file:///pay.csv", 1)
    for versions in ([pay], [pay, ("file:///pay.csv", 2)], [pay, ("file:///other.csv", 1)]):
        keep_exchange(catalog, name, NOBODY, question="What does Anna earn?", answer="40.", versions=versions)
    assert texts(catalog, name)[1::2] == ["40.", "", ""]
    catalog.restrict([(one.document_id, frozenset({"boss"}))])
    assert texts(catalog, name)[1::2] == ["", "", ""]
    catalog.restrict([(one.document_id, frozenset())])
    catalog.withdraw([one.document_id])
    assert texts(catalog, name)[1::2] == ["", "", ""]


def test_an_index_that_never_deletes_and_a_purge_change_nothing(
    catalog: Catalog, told: tuple[str, Staged, Staged]
) -> None:
    name, one, other = told
    catalog.withdraw([one.document_id, other.document_id])
    catalog.purge(catalog.retired())
    for text in ("A new first document.", "A new second document."):
        document(catalog, text, text)
    read = read_conversation(catalog, name, NOBODY)
    assert [turn.text for turn in read.turns if turn.role == "assistant"] == ["", "", ""]
    assert read.summary == ""


def test_access_that_is_lost_hides_and_gained_again_shows(catalog: Catalog, told: tuple[str, Staged, Staged]) -> None:
    name, one, _ = told
    catalog.restrict([(one.document_id, frozenset({"boss"}))])
    read = read_conversation(catalog, name, NOBODY)
    assert [turn.text for turn in read.turns if turn.role == "assistant"] == ["", "Lamps cost 49.", ""]
    assert all(turn.removed and turn.answer_id is None for turn in read.turns if turn.number in (2, 6))
    assert (read.summary, read.summarised) == ("", 0)
    assert facts(catalog) == ["I buy lamps."]
    boss = Scope(principals=frozenset({"boss"}))
    assert read_conversation(catalog, name, boss).summary == "The fee is 3%, lamps cost 49."
    catalog.restrict([(one.document_id, frozenset())])
    assert texts(catalog, name)[1] == "The fee is 3%."
    assert sorted(facts(catalog)) == ["I buy lamps.", "I pay 3%."]


def test_a_reader_with_fewer_names_than_the_asker_sees_less(catalog: Catalog) -> None:
    secret = document(catalog, "a", "Margins are 40%.", access=frozenset({"sales"}))
    name = start_conversation(catalog, ALICE_IN_SALES, owner=frozenset({"alice"}))
    say(catalog, name, "What are the margins?", "Margins are 40%.", secret, scope=ALICE_IN_SALES)
    assert texts(catalog, name, ALICE_IN_SALES)[1] == "Margins are 40%."
    assert texts(catalog, name, ALICE)[1] == ""


def test_an_answer_whose_document_goes_while_it_is_given_is_kept_without_its_text(catalog: Catalog) -> None:
    one, other = document(catalog, "a", "The fee is 3%."), document(catalog, "b", "Lamps cost 49.")
    name = start_conversation(catalog, NOBODY)
    origin = Origin(document_id=other.document_id, version_id=other.version_id)
    catalog.withdraw([one.document_id])
    say(catalog, name, "What is the fee?", "The fee is 3%.", one)
    catalog.restrict([(other.document_id, frozenset({"boss"}))])
    say(catalog, name, "What do lamps cost?", "Lamps cost 49.", other)
    keep_exchange(catalog, name, NOBODY, question="What?", answer="As I said, 49.", origins=[origin])
    read = read_conversation(catalog, name, NOBODY)
    assert [(turn.text, turn.removed) for turn in read.turns[1::2]] == [("", True)] * 3


def test_answers_and_deletions_at_the_same_time_leave_nothing_behind(catalog: Catalog) -> None:
    names = [start_conversation(catalog, NOBODY) for _ in range(2)]
    for round_ in range(8):
        one = document(catalog, f"d{round_}", f"The secret is {round_}.")
        begin = Barrier(5)

        def ask(name: str, text: str, document: Staged, begin: Barrier) -> None:
            begin.wait()
            for _ in range(3):
                say(catalog, name, "What?", text, document)

        def carry_on(begin: Barrier) -> None:
            begin.wait()
            read = read_conversation(catalog, names[0], NOBODY)
            origins = frozenset[Origin]().union(*(turn.origins for turn in read.turns))
            told = " ".join(turn.text for turn in read.turns)
            keep_summary(catalog, read, told, upto=read.length, origins=origins)

        with ThreadPoolExecutor(4) as threads:
            jobs = [threads.submit(ask, name, one.draft.text, one, begin) for name in (*names, names[0])]
            jobs.append(threads.submit(carry_on, begin))
            begin.wait()
            catalog.withdraw([one.document_id])
            for job in jobs:
                job.result()
        with catalog.reading() as connection:
            kept = [
                *connection.execute(sql("SELECT text FROM turn WHERE role = 'assistant'")).scalars(),
                *connection.execute(sql("SELECT summary FROM conversation")).scalars(),
            ]
        assert not any("secret" in text for text in kept)
        assert rows(catalog, "turn_document") == 0
    for name in names:
        read = read_conversation(catalog, name, NOBODY)
        assert [turn.number for turn in read.turns] == list(range(1, read.length + 1))


def test_what_was_recalled_into_a_prompt_is_what_its_answer_was_made_from(catalog: Catalog) -> None:
    one, other = document(catalog, "a", "The fee is 3%."), document(catalog, "b", "Lamps cost 49.")
    name = start_conversation(catalog, NOBODY)
    say(catalog, name, "What is the fee?", "The fee is 3%.", one)
    recalled = read_conversation(catalog, name, NOBODY).turns[1].origins
    keep_exchange(
        catalog, name, NOBODY, question="And lamps?", answer="49, and 3% on top.",
        passages=other.passages, origins=recalled,
    )  # fmt: skip
    catalog.withdraw([one.document_id])
    assert texts(catalog, name) == ["What is the fee?", "", "And lamps?", ""]
