"""The all-MiniLM-L6-v2 sentence embedding model as data; importing this reads no file but its own code.

The model takes `input_ids` and `attention_mask`, int64 (batch, seq), and gives `token_embeddings`,
float32 (batch, seq, 384), and `sentence_embedding`, float32 (batch, 384), L2-normalised. The tokenizer
neither pads nor truncates: pad with 0, and cut to `MAX_TOKENS`, [CLS] and [SEP] included.
"""

from pathlib import Path
from typing import Final

from sourcebook_minilm.fingerprint import FINGERPRINT

__all__ = ["DIMENSION", "FINGERPRINT", "LANGUAGES", "MAX_TOKENS", "MODEL_PATH", "TOKENIZER_PATH"]

MODEL_PATH: Final = Path(__file__).with_name("model.onnx")
TOKENIZER_PATH: Final = Path(__file__).with_name("tokenizer.json")
DIMENSION: Final = 384
MAX_TOKENS: Final = 256
LANGUAGES: Final = frozenset({"en"})
