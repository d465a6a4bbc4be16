"""How well `SupportJudge` tells supported sentences from others, on pairs made of SQuAD, SciFact and KorNLI.

    python bench/support.py [--fit] [--sample N]

Each pair is a sentence and the passage that it cites. Alarms: supported sentences that are marked all the same.
Caught: sentences that are not supported, and are marked. The kinds of pairs:

    quoted       a sentence of the passage, whole, or without a clause of it                  supported
    restated     a SQuAD question with its answer in the place of the question word           supported
    number       quoted, with another number in it                                            not
    name         quoted, with a name of another passage in the place of one                   not
    denied       quoted, with a "not" put in or taken out                                     not
    wrong        restated, with another answer from the same article                          not
    elsewhere    quoted or restated, with another passage of the same article                 not
    plain        quoted or restated, without capitals and digits, with its own passage        supported
    plain elsewhere  the same with another passage of the article                             not
    scifact      expert-written claims against the abstract that supports, contradicts, or does not speak of them
    kornli       Korean premise and hypothesis: entailment, contradiction, neutral

--fit fits the weights to the kinds made of SQuAD, of the articles that `paragraphs.tuned_articles` leaves for tuning,
and prints them; figures are always of the other articles. SciFact and KorNLI are never fitted to.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from random import Random

import numpy as np
from numpy.typing import NDArray
from paragraphs import squad

from sourcebook.embed.terms import KeywordAnalyzer
from sourcebook.language import sentences
from sourcebook.prompt import particulars
from sourcebook.prompt.support import SupportJudge
from sourcebook.types import Passage, PassageId

KINDS = ("quoted", "restated", "plain", "number", "name", "denied", "wrong", "elsewhere", "plain elsewhere")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A sentence, the passage that it cites, and whether that supports it."""

    kind: str
    text: str
    passage: Passage
    supported: bool
    held_out: bool = True


def main() -> None:
    """Print the table; with --fit, the weights as well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--sample", type=int, default=2500, help="SQuAD questions that pairs are made of")
    options = parser.parse_args()
    if not options.data.exists():
        print("The data to measure with is not here: skipped")
        return
    judge = SupportJudge(KeywordAnalyzer().words)
    pairs = [*squad_pairs(options.data, options.sample), *scifact_pairs(options.data), *kornli_pairs(options.data)]
    began = time.perf_counter()
    described = [judge.describe(one.text, [judge.place(one.text, one.passage)]) for one in pairs]
    seconds = time.perf_counter() - began
    names = list(described[0])
    rows = np.array([[one[name] for name in names] for one in described])
    if options.fit:
        _fit(names, rows, pairs)
    report(pairs, judge)
    print(f"\n{1000 * seconds / len(pairs):.2f} ms a sentence, most with a new passage; {platform.machine()}")


# --- the pairs ----------------------------------------------------------------------------------------------


def squad_pairs(data: Path, sample: int) -> Iterator[Pair]:
    """All kinds that are made of SQuAD."""
    reading, random = squad(data), Random(7)
    articles: dict[str, list[int]] = defaultdict(list)
    for number, (title, _) in enumerate(reading.paragraphs):
        articles[title].append(number)
    answers: dict[str, list[str]] = defaultdict(list)
    for item in reading.items:
        answers[reading.paragraphs[item.paragraph][0]].append(item.answers[0])
    for item in random.sample(reading.items, sample):
        title, text = reading.paragraphs[item.paragraph]
        passage = _passage(text, title)
        held = item.held_out
        others = [number for number in articles[title] if number != item.paragraph]
        other = _passage(reading.paragraphs[random.choice(others)][1], title) if others else None
        restated = _restated(item.text, item.answers[0])
        if restated:
            yield Pair(kind="restated", text=restated, passage=passage, supported=True, held_out=held)
            wrong = [one for one in answers[title] if one.lower() not in text.lower() or random.random() < 0.3]
            wrong = [one for one in wrong if not set(_low(one)) & set(_low(" ".join(item.answers)))]
            if wrong and (changed := _restated(item.text, random.choice(wrong))):
                yield Pair(kind="wrong", text=changed, passage=passage, supported=False, held_out=held)
        spans = sentences(text, "en")
        start, end = random.choice(spans)
        quoted = _shortened(text[start:end], random)
        if len(quoted.split()) < 5:
            continue
        yield Pair(kind="quoted", text=quoted, passage=passage, supported=True, held_out=held)
        for kind, made in (
            ("number", _number_changed(quoted, text, random)),
            ("name", _name_changed(quoted, text, other.text if other else "", random)),
            ("denied", _denied(quoted)),
        ):
            if made:
                yield Pair(kind=kind, text=made, passage=passage, supported=False, held_out=held)
        if other:
            moved = restated if restated and random.random() < 0.5 else quoted
            yield Pair(kind="elsewhere", text=moved, passage=other, supported=False, held_out=held)
            yield Pair(kind="plain elsewhere", text=_plain(moved), passage=other, supported=False, held_out=held)
            yield Pair(kind="plain", text=_plain(moved), passage=passage, supported=True, held_out=held)


def _plain(text: str) -> str:
    """Without capitals and digits, so that no name or number tells."""
    return re.sub(r"\S*\d\S*", "", text.lower())


def _low(text: str) -> list[str]:
    return re.findall(r"\w{3,}|\d+", text.lower())


def _restated(question: str, answer: str) -> str:
    """'When was it built?' and '1873' -> 'it was built 1873': the words of a statement, if not its grammar."""
    found = re.search(
        r"\b(?:(?:in|on|at|for|to|by|of|from) )?"
        r"(?:what|which|who|whom|whose|when|where|how (?:many|much|long|old|far|often)|how|why)\b",
        question,
        re.IGNORECASE,
    )
    if found is None or len(answer.split()) > 12:
        return ""
    rest = question[found.end() :]
    rest = re.sub(r"^\s*(?:did|do|does|is|are|was|were|has|have|had|can|could|will|would)\b", "", rest)
    stated = f"{question[: found.start()]} {rest.rstrip(' ?')} {answer}."
    if found.start() == 0 and re.match(r"(?:who|what|which)$", found[0], re.IGNORECASE):
        stated = f"{answer} {question[found.end() :].strip(' ?')}."
    stated = " ".join(stated.split())
    return stated[:1].upper() + stated[1:]


def _shortened(sentence: str, random: Random) -> str:
    """Without a clause or what stands in parentheses, half of the time."""
    if random.random() < 0.5:
        return sentence
    shorter = re.sub(r"\s*\([^)]*\)", "", sentence)
    clauses = shorter.split(", ")
    if len(clauses) > 2:
        del clauses[random.randrange(1, len(clauses) - 1)]
    return ", ".join(clauses)


def _number_changed(sentence: str, passage: str, random: Random) -> str:
    found = list(re.finditer(r"(?<![\w.,])\d+(?![\w,])", sentence))
    there = particulars.amounts(passage)
    for match in random.sample(found, len(found)):
        for _ in range(10):
            changed = str(max(1, int(match[0]) + random.choice((-30, -7, -3, -1, 1, 2, 4, 10, 50))))
            if changed not in there:
                return sentence[: match.start()] + changed + sentence[match.end() :]
    return ""


def _name_changed(sentence: str, passage: str, other: str, random: Random) -> str:
    names = particulars.names(sentence, "en")
    strange = [one for one in particulars.names(other, "en") if one not in passage]
    if not names or not strange:
        return ""
    return sentence.replace(random.choice(names), random.choice(strange), 1)


def _denied(sentence: str) -> str:
    if re.search(r"\bnot\b", sentence):
        return re.sub(r"\bnot ", "", sentence, count=1)
    changed = re.sub(r"\b(is|are|was|were|has|have|had|can|could|will|would|may)\b", r"\1 not", sentence, count=1)
    return changed if changed != sentence else ""


def scifact_pairs(data: Path) -> Iterator[Pair]:
    """Claims with the abstracts that are cited for them."""
    folder = data / "retrieval" / "scifact"
    corpus = {one["_id"]: one for one in map(json.loads, (folder / "corpus.jsonl").read_text("utf-8").splitlines())}
    ids, random = sorted(corpus), Random(3)
    for line in (folder / "queries.jsonl").read_text("utf-8").splitlines():
        claim = json.loads(line)
        evidence = {one["doc_id"]: one["label"] for one in claim["metadata"]["evidence"]}
        for name, label in evidence.items():
            if name in corpus:
                kind = "scifact supported" if label == "SUPPORT" else "scifact contradicted"
                passage = _passage(corpus[name]["text"], corpus[name]["title"])
                yield Pair(kind=kind, text=claim["text"], passage=passage, supported=label == "SUPPORT")
        strange = corpus[random.choice(ids)]
        if strange["_id"] not in evidence:
            passage = _passage(strange["text"], strange["title"])
            yield Pair(kind="scifact elsewhere", text=claim["text"], passage=passage, supported=False)


def kornli_pairs(data: Path) -> Iterator[Pair]:
    """Korean premises and hypotheses, the first 3,000."""
    for line in (data / "pairs" / "kornli_xnli.jsonl").read_text("utf-8").splitlines()[:3000]:
        one = json.loads(line)
        yield Pair(
            kind=f"kornli {one['label']}",
            text=one["b"],
            passage=_passage(one["a"], None, "ko"),
            supported=one["label"] == "entailment",
        )


def _passage(text: str, title: str | None, language: str = "en") -> Passage:
    name = blake2b(f"{title}\n{text}".encode(), digest_size=16).hexdigest()
    return Passage(
        id=PassageId(name), document="d", version=1, ordinal=0, text=text, start=0, end=len(text), title=title,
        language=language,
    )  # fmt: skip


# --- fitting and telling ------------------------------------------------------------------------------------


def _fit(names: Sequence[str], rows: NDArray[np.float64], pairs: Sequence[Pair]) -> None:
    """Logistic regression by Newton's method, a little regularised; kinds weigh the same within their class."""
    chosen = np.array([not one.held_out and one.kind in KINDS for one in pairs])
    x = np.hstack([rows[chosen], np.ones((chosen.sum(), 1))])
    y = np.array([one.supported for one in pairs], float)[chosen]
    kinds = np.array([one.kind for one in pairs])[chosen]
    ways = {truth: len(set(kinds[y == truth])) for truth in (0, 1)}
    shares = {kind: len(y) / 2 / (kinds == kind).sum() for kind in set(kinds)}
    weight = np.array([shares[kind] / ways[int(truth)] for kind, truth in zip(kinds, y, strict=True)])
    beta = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ beta))
        gradient = x.T @ (weight * (y - p)) - 0.5 * beta
        curvature = (x * (weight * p * (1 - p))[:, None]).T @ x + 0.5 * np.eye(len(beta))
        beta += np.linalg.solve(curvature, gradient)
    for name, value in zip([*names, "bias"], beta, strict=True):
        print(f'    "{name}": {value:.2f},')
    print()


def report(pairs: Sequence[Pair], judge: SupportJudge) -> None:
    """Per kind the share that is marked, at three thresholds, and the whole for the kinds made of SQuAD."""
    held = [one for one in pairs if one.held_out]
    likely = np.array([judge.judge(one.text, [judge.place(one.text, one.passage)]).probability for one in held])
    kinds = np.array([one.kind for one in held])
    truth = np.array([one.supported for one in held])
    thresholds = (0.3, 0.5, 0.7)
    print("| pairs | supported | number | " + " | ".join(f"marked at {one}" for one in thresholds) + " |")
    print("| --- | --- | --- | " + " | ".join("---" for _ in thresholds) + " |")
    for kind in dict.fromkeys(kinds):
        own = kinds == kind
        shares = " | ".join(f"{(likely[own] < one).mean():.1%}" for one in thresholds)
        print(f"| {kind} | {'yes' if truth[own][0] else 'no'} | {own.sum()} | {shares} |")
    for group, own in (
        ("SQuAD", np.array([kind in KINDS for kind in kinds])),
        ("SciFact", np.array([kind.startswith("scifact") for kind in kinds])),
        ("KorNLI", np.array([kind.startswith("kornli") for kind in kinds])),
    ):
        told = []
        for one in thresholds:
            marked, wrong = likely[own] < one, ~truth[own]
            precision = (marked & wrong).sum() / max(1, marked.sum())
            recall = (marked & wrong).sum() / max(1, wrong.sum())
            told.append(f"{precision:.2f} / {recall:.2f}")
        print(f"| **{group}**: precision / recall of marks | | {own.sum()} | {' | '.join(told)} |")


if __name__ == "__main__":
    main()
