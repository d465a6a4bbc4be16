"""The commands about money: what they print, for people and for programs."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sourcebook.catalog.catalog import Catalog
from sourcebook.catalog.usage import UsageLedger
from sourcebook.commands.spending import budget, prices, usage
from sourcebook.config import FILE, template
from sourcebook.errors import NotFound
from sourcebook.models.cost.known import all_known
from sourcebook.types import CallRecord, Usage

COMMANDS = {"usage": usage, "budget": budget, "prices": prices}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / FILE).write_text(template())
    catalog = Catalog("sqlite:catalog.db", tmp_path)
    ledger = UsageLedger(catalog)
    for number, cost in enumerate((1_250_000, 250, None)):
        ledger.settle(
            CallRecord(
                id=str(number), at=f"2026-05-0{number + 1}T10:00:00.000+00:00", tenant="default", account="anna",
                purpose="answer", model="openai:gpt-5" if number else "openai:gpt-4o", outcome="finished",
                usage=Usage(
                    input_tokens=1_000, output_tokens=50, cost=cost or 0, priced=cost is not None, exact=number != 1
                ),
                reserved=200 if number == 1 else 0,
            )
        )  # fmt: skip
    catalog.close()
    return tmp_path


def run(home: Path, command: str, *arguments: str) -> Result:
    *groups, last = command.split()
    words = [last, "--home", str(home), *arguments] if groups else ["--home", str(home), *arguments]
    result = CliRunner().invoke(COMMANDS[command.split()[0]], words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_usage_for_people(home: Path) -> None:
    lines = run(home, "usage", "--by", "model").output.splitlines()
    assert lines[0].split() == ["model", "calls", "input", "of", "it", "cached", "output", "cost"]
    assert lines[1].split()[:2] == ["openai:gpt-4o", "1"]
    assert "$1.25" in lines[1]
    assert "1 of unknown price, 1 not counted by the vendor, $0.00005 more than was held" in lines[2]
    assert lines[-1] == "3 calls, $1.25025; some had no known price: see sourcebook prices"


def test_usage_for_programs(home: Path) -> None:
    said = json.loads(run(home, "usage", "--since", "2026-05-02", "--until", "2026-05-02", "--json").output)
    assert said["by"] == "day"
    assert [(row["key"], row["calls"], row["cost"]) for row in said["usage"]] == [("2026-05-02", 1, 250)]
    assert json.loads(run(home, "usage", "--account", "nobody", "--json").output)["usage"] == []
    assert run(home, "usage", "--tenant", "nobody").output == "No model calls\n"


def test_budgets_are_set_listed_and_removed(home: Path) -> None:
    assert "nothing bounds what may be spent" in run(home, "budget list").output
    made = json.loads(run(home, "budget set", "12.50", "--per", "total", "--json").output)
    assert made == {
        "tenant": "default", "account": "*", "period": "total", "limit": 12_500_000, "spent": 1_250_250, "held": 0,
        "left": 11_249_750, "renews": None,
    }  # fmt: skip
    assert "$0.000001" in run(home, "budget set", "$0.000001", "--account", "anna", "--per", "day").output
    listed = json.loads(run(home, "budget list", "--json").output)["budgets"]
    assert [(one["account"], one["period"], one["limit"]) for one in listed] == [
        ("*", "total", 12_500_000),
        ("anna", "day", 1),
    ]
    assert "$11.24975" in run(home, "budget list").output
    assert run(home, "budget remove", "--per", "total").output == "Removed\n"
    with pytest.raises(NotFound):
        run(home, "budget remove", "--per", "total")


@pytest.mark.parametrize("amount", ["abc", "0.0000001", "1e30", "nan"])
def test_an_amount_that_is_none_is_wrong_usage(home: Path, amount: str) -> None:
    result = run(home, "budget set", amount)
    assert result.exit_code == 2
    assert "is not an amount in US dollars" in result.output


def test_a_negative_amount_is_wrong_usage(home: Path) -> None:
    assert run(home, "budget set", "--", "-5").exit_code == 2


def test_prices_of_a_model_of_many_and_of_the_users_own(home: Path) -> None:
    lines = run(home, "prices", "openai:gpt-4o-2024-08-06").output.splitlines()
    assert lines[1].split()[:5] == ["openai:gpt-4o-2024-08-06", "2.5", "1.25", "10", "128,000"]
    assert "check them with the vendor" in lines[-1]
    assert "prompts over 200,000" in run(home, "prices", "gemini-2.5-pro").output
    (home / "models.toml").write_text(
        '[[model]]\nprovider = "mine"\nnames = ["big"]\nas_of = 2026-11-01\n'
        "prices = [{ input = 1_500_000, output = 2 }]"
    )
    (mine,) = json.loads(run(home, "prices", "mine", "--json").output)["models"]
    assert (mine["own"], mine["as_of"], mine["prices"][0]["input"]) == (True, "2026-11-01", 1_500_000)
    everything = run(home, "prices").output.splitlines()
    assert len(everything) > 150
    assert any(line.startswith("ollama:*") and "free" in line for line in everything)
    assert any(line.startswith("ollama:*-cloud") and "not known" in line for line in everything)
    with pytest.raises(NotFound, match=r"models\.toml"):
        run(home, "prices", "nonsense")


@pytest.mark.parametrize("model", ["openai-responses:gpt-5", "vertex:gemini-2.5-pro"])
def test_prices_of_another_providers_models_are_found_by_their_own_urls(home: Path, model: str) -> None:
    (found,) = json.loads(run(home, "prices", model, "--json").output)["models"]
    assert found["prices"]


def test_prices_that_are_old_are_marked(home: Path) -> None:
    row = '[[model]]\nprovider = "mine"\nnames = ["big"]\nas_of = 2020-01-01\nprices = [{ input = 1, output = 2 }]'
    (home / "models.toml").write_text(row)
    assert "more than a year old" not in run(home, "prices", "mine").output  # they are the user's to vouch for
    marked = [line for line in run(home, "prices").output.splitlines() if "more than a year old" in line]
    old = [one for one in all_known() if (datetime.now(UTC).date() - one.as_of).days > 365 and not one.free]
    assert len(marked) == len(old)


def test_prices_need_no_book(tmp_path: Path) -> None:
    assert run(tmp_path / "nowhere", "prices", "openai:gpt-4o").exit_code == 0
    assert not (tmp_path / "nowhere").exists()
