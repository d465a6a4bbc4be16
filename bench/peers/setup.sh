#!/bin/sh
# Makes bench/peers/.venv with the pinned versions of LlamaIndex, LangChain and txtai (about 1.5 GB with torch,
# which txtai imports). Ours is not installed there. Usage: bench/peers/setup.sh [PYTHON]
# `bench/peers/setup.sh models [PYTHON]` makes .venv-models instead, for bench/model.py: LiteLLM and the vendor's SDK.
set -eu
cd "$(dirname "$0")"
if [ "${1:-}" = models ]; then
    "${2:-python3}" -m venv .venv-models
    .venv-models/bin/python -m pip install --quiet --requirement requirements-models.txt
    exit
fi
"${1:-python3}" -m venv .venv
.venv/bin/python -m pip install --quiet --requirement requirements.txt
.venv/bin/python -m compileall -q .venv/lib >/dev/null 2>&1 || true
