"""How fast Sourcebook is, next to LlamaIndex, LangChain and txtai, in one run on one machine.

    bench/peers/setup.sh                  once: the peers' own environment
    python bench/speed.py                 everything but the optional parts; prints a Markdown table
    python bench/speed.py --help          parts, sizes and systems to choose from

`bench/README.md` says what is measured and how.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from peers.driver import OURS, PEERS, ROOT
from peers.measures import PARTS, Bench, note
from peers.table import machine, versions


def main() -> int:
    """Measure what was asked for and print it; 0, or 1 if a system failed or a goal was missed."""
    options = _options()
    if not (options.data / "retrieval" / "scifact" / "corpus.jsonl").exists():
        print(f"skipped: no SciFact corpus below {options.data}; give its place with --data")
        return 0
    present = [system for system in (OURS, *PEERS) if system.python.exists()]
    systems = [system for system in present if system.name.lower() in options.systems]
    if len(present) == 1:
        note("the peers are not installed: run bench/peers/setup.sh to compare with them")
    about = machine()
    with tempfile.TemporaryDirectory(prefix="speed-", dir=options.work) as work:
        bench = Bench(options, Path(work))
        for part in options.parts:
            bench.run(part, systems)
    names = [system.name for system in systems]
    for key, value in about.items():
        print(f"- {key}: {value}")
    print(f"- ours: {versions(OURS.python, ['sourcebook', 'qdrant-edge-py', 'onnxruntime', 'numpy'])}")
    if len(present) > 1:
        libraries = ["llama-index-core", "langchain", "langchain-core", "txtai", "chromadb", "onnxruntime", "numpy"]
        print(f"- peers: {versions(PEERS[0].python, libraries)}")
    print(f"- {options.documents:,} documents; medians of {options.repeats} runs\n")
    print(bench.results.markdown(names, OURS.name))
    print(f"\n{NOTES}")
    for failure in bench.failures:
        print(f"- FAILED: {failure}")
    if options.json:
        record = {"machine": about, "measures": bench.results.json(), "failures": bench.failures}
        options.json.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if bench.failures or bench.results.missed(OURS.name) else 0


NOTES = """In brackets: how many times Sourcebook's value. All systems use the same ONNX model on the same
onnxruntime. "Outside embedding" is the wall time of the operation less that spent in the embedding model,
imports and the model's loading left out. txtai keeps no record of a folder: its documented `upsert` gets
all documents again, and nothing tells it what was deleted. For search, passages are shuffled sentences of the
corpus and their stored vectors a seeded random projection of their words, so that filling takes minutes;
questions are embedded by the real model, and that is in the latency."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed of Sourcebook next to LlamaIndex, LangChain and txtai.")
    names = [system.name.lower() for system in (OURS, *PEERS)]
    add = parser.add_argument
    add("--data", type=Path, default=ROOT.parent / "shared" / "data", help="folder that holds retrieval/scifact")
    add("--parts", type=_words, default=list(PARTS[:-1]), help=f"of {','.join(PARTS)}; all but the last by default")
    add("--systems", type=_words, default=names, help=f"of {','.join(names)}; all by default")
    add("--documents", type=int, default=1000, help="documents to ingest (default 1000)")
    add("--repeats", type=int, default=3, help="runs of which the median counts (default 3)")
    add("--embed", type=int, default=256, help="texts for comparing embedders (default 256)")
    add("--sizes", type=_numbers, default=[5_000, 50_000, 200_000], help="passages searched by Sourcebook")
    add("--peer-sizes", type=_numbers, default=[5_000], help="passages searched by the peers (default 5000)")
    add("--queries", type=int, default=200, help="questions whose time counts (default 200)")
    add("--stand-in", action="store_true", help="ingest without the model, to try this script; memory means nothing")
    add("--work", type=Path, default=None, help="where to put temporary folders")
    add("--json", type=Path, default=None, help="file for every single value")
    return parser.parse_args()


def _words(text: str) -> list[str]:
    return [word.strip().lower() for word in text.split(",") if word.strip()]


def _numbers(text: str) -> list[int]:
    return [int(word) for word in _words(text)]


if __name__ == "__main__":
    sys.exit(main())
