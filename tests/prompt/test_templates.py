"""Templates: the package's, the user's, what they declare, and what they may not do."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest

from sourcebook.errors import PromptError
from sourcebook.prompt.templates import load, names

Save = Callable[..., Path]

HEAD = '+++\nversion = "{version}"\n{more}+++\n'


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def saving(name: str, body: str, *, more: str = "", version: str = "1") -> Path:
        path = tmp_path / "prompts" / f"{name}.j2"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HEAD.format(version=version, more=more) + body, encoding="utf-8")
        return tmp_path

    return saving


def declared(**kinds: str) -> str:
    return "".join(f'[variables.{name}]\ntype = "{kind}"\n' for name, kind in kinds.items())


GIVEN: dict[str, dict[str, object]] = {
    "answer": {"question": "When?", "fence": "abc", "passages": "<p>"},
    "chain-of-thought": {"question": "When?", "fence": "abc", "passages": "<p>"},
    "few-shot": {
        "question": "When?",
        "fence": "abc",
        "passages": "<p>",
        "examples": [{"question": "a", "answer": "b"}],
    },
    "rewrite": {
        "question": "And then?",
        "fence": "abc",
        "turns": [{"role": "user", "text": "Hello"}],
        "summary": "They met.",
    },
    "decompose": {"question": "Who and when?"},
    "vary": {"question": "When?"},
    "summarise": {"fence": "abc", "turns": [{"role": "user", "text": "Hello"}]},
    "learn": {"fence": "abc", "said": "I am a sailor."},
    "agent": {},
    "agent-protocol": {"tools": '{"name": "add"}'},
    "continue": {"text": "The lighthouse was"},
}


def test_the_package_has_its_templates() -> None:
    assert set(names()) == set(GIVEN)


@pytest.mark.parametrize("name", sorted(GIVEN))
def test_every_template_of_the_package_renders(name: str) -> None:
    template = load(name)
    messages = template.messages(**GIVEN[name])
    assert messages[-1].role == "user" or name in ("agent", "agent-protocol")  # they are joined to other messages
    assert template.description
    assert all(variable.description for variable in template.variables.values())
    for message in messages:
        assert "\n\n\n" not in message.text
        assert message.text == message.text.strip()
    assert template.messages(**GIVEN[name]) == messages


def test_the_answer_has_examples_and_history_between_rules_and_question() -> None:
    messages = load("answer").messages(
        **GIVEN["answer"],
        language="German",
        facts=["is a sailor"],
        summary="They spoke of ships.",
        sentences=1,
        examples=[{"question": "q1", "answer": "a1"}, {"question": "q2", "answer": "a2"}],
        history=[{"role": "user", "text": "Hello"}, {"role": "assistant", "text": "Good day"}],
    )
    assert [one.role for one in messages] == ["system", *["user", "assistant"] * 3, "user"]
    assert [one.keep for one in messages] == [True, False, False, False, True, False, False, False]
    assert "in German" in messages[0].text
    assert "at most 1 sentence," in messages[0].text
    assert messages[-1].text.endswith("Question: When?")
    assert "<notes-abc>\n- is a sailor\n</notes-abc>" in messages[-1].text
    assert "<summary-abc>\nThey spoke of ships.\n</summary-abc>" in messages[-1].text


def test_the_rules_do_not_change_with_the_question() -> None:
    one, other = (
        load("answer").messages(question=q, fence=f, passages=p) for q, f, p in (("a", "1", "x"), ("b", "2", "y"))
    )
    assert one[0] == other[0]  # what a vendor caches


def test_a_changed_file_is_a_changed_version(save: Save) -> None:
    home = save("mine", "{% user %}one{% enduser %}")
    before = load("mine", home).version
    assert before.startswith("mine@1+")
    assert load("mine", home).version == before
    save("mine", "{% user %}two{% enduser %}")
    after = load("mine", home)
    assert after.version not in ("", before)
    assert after.messages()[0].text == "two"


def test_a_changed_piece_is_a_changed_version(save: Save) -> None:
    home = save("mine", '{% user %}{% include "pieces/part" %}{% enduser %}')
    save("pieces/part", "one")
    before = load("mine", home)
    save("pieces/part", "two")
    after = load("mine", home)
    assert before.version != after.version
    assert (before.messages()[0].text, after.messages()[0].text) == ("one", "two")


def test_the_users_template_comes_first_and_may_build_on_the_packages(save: Save) -> None:
    home = save("answer", '{% extends "sourcebook/answer" %}{% block rules %}{{ super() }}\n- Rhyme.{% endblock %}')
    mine, packaged = load("answer", home), load("answer")
    assert mine.version != packaged.version
    assert mine.messages(**GIVEN["answer"])[0].text.endswith("- Rhyme.")
    assert load("sourcebook/answer", home).messages(**GIVEN["answer"]) == packaged.messages(**GIVEN["answer"])


def test_a_users_piece_changes_the_packages_template(save: Save) -> None:
    home = save("pieces/grounding", "- Be kind.\n")
    assert "- Be kind." in load("answer", home).messages(**GIVEN["answer"])[0].text
    assert "pieces/grounding" not in names(home)


@dataclass
class Record:
    role: str
    text: str


def test_records_may_be_objects_or_mappings() -> None:
    both = [Record("user", "Hello"), {"role": "assistant", "text": "Good day"}]
    text = load("summarise").messages(turns=both, fence="abc")[-1].text
    assert "<user-abc>\nHello\n</user-abc>\n<assistant-abc>\nGood day\n</assistant-abc>" in text


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, ("'rewrite'", "'question'", "needs")),
        ({"question": "a", "quetsion": "b"}, ("'quetsion'", "turns", "no variable")),
        ({"question": 3}, ("'question'", "a text", "int")),
        ({"question": "a", "turns": "b"}, ("'turns'", "records", "str")),
        ({"question": "a", "turns": [{"role": "user"}]}, ("'turns'", "'text'")),
        ({"question": "a", "turns": [Record("user", 3)]}, ("'turns'", "int")),  # type: ignore[arg-type]
    ],
)
def test_variables_are_checked_both_ways(variables: dict[str, object], says: tuple[str, ...]) -> None:
    with pytest.raises(PromptError) as caught:
        load("rewrite").messages(**variables)
    for word in says:
        assert word in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("text", "a", 1),
        ("integer", 3, True),
        ("integer", 3, 3.5),
        ("number", 3.5, "3"),
        ("boolean", True, 1),
        ("texts", ["a"], ["a", 1]),
        ("texts", ("a",), "a"),
        ("examples", [{"question": "a", "answer": "b"}], [{"question": "a"}]),
    ],
)
def test_values_have_the_type_that_is_declared(save: Save, kind: str, good: object, bad: object) -> None:
    home = save("mine", "{% user %}{% if x %}yes{% endif %}{% enduser %}", more=declared(x=kind))
    assert load("mine", home).messages(x=good)[0].text == "yes"
    with pytest.raises(PromptError, match="'x'"):
        load("mine", home).messages(x=bad)


@pytest.mark.parametrize(
    ("head", "body", "says"),
    [
        ("", "{% user %}a{% enduser %}", "no front matter"),
        ("+++\nversion = 1\n+++\n", "{% user %}a{% enduser %}", "must be a text"),
        ("+++\n+++\n", "{% user %}a{% enduser %}", "no version"),
        ("+++\nversion = \n+++\n", "", "TOML"),
        ('+++\nversion = "1"\nmodel = "x"\n+++\n', "{% user %}a{% enduser %}", "'model'"),
        ('+++\nversion = "1"\nanswer_tag = "<a>"\n+++\n', "{% user %}a{% enduser %}", "answer_tag"),
        ('+++\nversion = "1"\n[variables.x]\ntype = "word"\n+++\n', "{% user %}a{% enduser %}", "'word'"),
        ('+++\nversion = "1"\n[variables.x]\ntype = "text"\ndefault = 3\n+++\n', "{% user %}a{% enduser %}", "default"),
        (
            '+++\nversion = "1"\n[variables.x]\ntype = "text"\nrequired = false\n+++\n',
            "{% user %}a{% enduser %}",
            "default",
        ),
        ('+++\nversion = "1"\n[variables.x]\nkind = "text"\n+++\n', "{% user %}a{% enduser %}", "declared"),
        ('+++\nversion = "1"\n+++\n', "{% user %}{{ name }}{% enduser %}", "'name'"),
        ('+++\nversion = "1"\n+++\n', "{% user %}\n\n{% if %}{% enduser %}", "line 6"),
        ('+++\nversion = "1"\n+++\n', '{% include "nowhere" %}', "'nowhere'"),
        ('+++\nversion = "1"\n+++\n', '{% include "mine" %}', "includes itself"),
        ('+++\nversion = "1"\n+++\n', '{% include "../secret" %}', "not a name"),
        ('+++\nversion = "1"\n+++\n', '{% include ["a", "b"][0] %}', "computes"),
    ],
)
def test_a_template_that_is_not_valid_is_not_loaded(tmp_path: Path, head: str, body: str, says: str) -> None:
    path = tmp_path / "prompts" / "mine.j2"
    path.parent.mkdir()
    path.write_text(head + body, encoding="utf-8")
    with pytest.raises(PromptError, match=says) as caught:
        load("mine", tmp_path)
    assert "mine" in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("name", ["", "../answer", "/etc/passwd", "a.b", "answer.j2", "none-of-this-name"])
def test_other_names_are_not_templates(tmp_path: Path, name: str) -> None:
    with pytest.raises(PromptError):
        load(name, tmp_path)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("Hello. {% user %}a{% enduser %}", "outside"),
        ("{% user %} {% enduser %}", "no message"),
        ("{% user %}{% system %}a{% endsystem %}{% enduser %}", "inside another"),
        ('{% message "robot" %}a{% endmessage %}', "'robot'"),
        ("{% user %}\n{{ 1 / 0 }}{% enduser %}", "line 5"),
        ("{% user %}{{ [1, 2] }}{% enduser %}", "list"),
    ],
)
def test_what_goes_wrong_in_rendering_names_the_template(save: Save, body: str, says: str) -> None:
    with pytest.raises(PromptError, match=says) as caught:
        load("mine", save("mine", body)).messages()
    assert "'mine'" in str(caught.value)


HOSTILE = [
    "{{ ''.__class__.__mro__ }}",
    "{{ x.__class__ }}",
    "{{ x|attr('__class__') }}",
    "{{ ''['__class__'] }}",
    "{{ x.format('a') }}",
    "{{ '{:1000000000}'.format(x) }}",
    "{{ ''['format'](x) }}",
    "{{ x.encode() }}",
    "{{ x.ljust(10 ** 9) }}",
    "{{ x * 1000000000 }}",
    "{{ [x] * 1000000000 }}",
    "{{ 10 ** 1000000 }}",
    "{{ '%1000000000d' % 3 }}",
    "{{ x|center(1000000000) }}",
    "{{ '%1000000000d'|format(3) }}",
    "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}",
    "{% for a in range(99999999) %}{% endfor %}",
    "{% macro f(n) %}{{ f(n - 1) }}{{ f(n - 1) }}{% endmacro %}{{ f(50) }}",
    "{% macro d(s) %}{{ s ~ s }}{% endmacro %}" + "{{ " + "d(" * 60 + "x" + ")" * 60 + " }}",
    "{% set a = x ~ x %}" + "".join(f"{{% set a = a ~ a %}}{'':{n}}" for n in range(40)) + "{{ a }}",
    "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}",
    "{{ lipsum() }}",
    "{{ cycler }}",
    "{{ self }}",
    "{{ range }}",
    "{{ texts.append('a') }}",
    "{% import 'os' as os %}",
    "{% include '/etc/passwd' %}",
    "{{ x|no_such_filter }}",
    "{{ (1).to_bytes(9999999999, 'big') }}",
    "{{ (1).real }}",
    "{{ b''.ljust(3) }}",
    "{{ [1, 2].copy() }}",
    "{{ texts.__len__() }}",
    f"{{{{ [1, 2, 3]|tojson(indent={10**9}) }}}}",
    "{% set a = [x] %}" + "{% set a = [a, a, a, a, a, a, a, a, a, a]|sum(start=[]) %}" * 8,
    "{% set a = [x] %}" + "{% set a = [a, a]|sum %}" * 40,
    "{{ n|round(2000000, 'floor') }}",
    "{{ 3|round(2000000, 'floor') }}",
    "{{ 3|round(-2000000, 'floor') }}",
    "{% set a = [1] %}" + "{% set a = [a, a] %}" * 40 + "{{ a|tojson }}",
    "{% set a = [1] %}" + "{% set a = (a, a) %}" * 40 + "{{ a|upper }}",
    "{% set a = {'k': 1} %}" + "{% set a = {'k': a, 'l': a} %}" * 40,
    "{% set a = [1] %}{% set b = [1] %}" + "{% set a = [a, a] %}{% set b = [b, b] %}" * 40 + "{{ 1 if a == b }}",
    "{{ [[1]]|string }}",
    "{{ [1] ~ 'a' }}",
    "{{ [[1]]|join }}",
    "{{ [x]|truncate(2) }}",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_templates_end_as_errors(save: Save, text: str) -> None:
    home = save("mine", f"{{% user %}}{text}{{% enduser %}}", more=declared(x="text", texts="texts", n="integer"))
    began = monotonic()
    with pytest.raises(PromptError):
        load("mine", home).messages(x="abc", texts=["a"], n=3)
    assert monotonic() - began < 20  # one that is not held takes longer than anybody waits


def test_values_are_never_run_as_templates() -> None:
    text = load("continue").messages(text="{{ 7 * 7 }} {% user %}")[0].text
    assert "{{ 7 * 7 }} {% user %}" in text


def test_what_templates_need_is_there(save: Save) -> None:
    body = (
        "{% user %}{{ texts|join(', ') }}; {{ texts|length }}; {{ n + 1 }}; {{ x|upper ~ '!' }};"
        "{% for t in texts %} {{ loop.index }}{{ t.strip() }}{% if not loop.last %},{% endif %}{% endfor %}"
        "{% enduser %}"
    )
    home = save("mine", body, more=declared(x="text", n="integer", texts="texts"))
    assert load("mine", home).messages(x="a", n=2, texts=["b", "c "])[0].text == "b, c ; 2; 3; A!; 1b, 2c"


def test_filters_do_what_they_do_in_jinja(save: Save) -> None:
    body = (
        "{% user %}{{ 2.567|round(1) }} {{ [1, 2]|sum }} {{ rows|sum(attribute='n') }} {{ {'a': [1, '<']}|tojson }}"
        " {{ [3, 1]|sort|first }} {{ x|truncate(5) }} {{ x|title|trim }} {{ {'k': 4}.get('k') }} {{ n|string|upper }}"
        "{% for name, value in {'a': 1}.items() %} {{ name }}={{ value }}{% endfor %}{% enduser %}"
    ).replace("rows", "[{'n': 3}, {'n': 4}]")
    home = save("mine", body, more=declared(x="text", n="integer"))
    assert load("mine", home).messages(x="some words here", n=7)[0].text == (
        '2.6 3 7 {"a": [1, "\\u003c"]} 1 so... Some Words Here 4 7 a=1'
    )


def test_nothing_is_computed_when_a_template_is_loaded(save: Save) -> None:
    load("mine", save("mine", "{% user %}{{ 3|round(2000000, 'floor') }}{% enduser %}"))


def test_jinja_is_loaded_with_the_first_template() -> None:
    script = "import sys; import sourcebook.prompt.templates, sourcebook.prompt.compose, sourcebook.prompt.cite; "
    script += "assert 'jinja2' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True)
