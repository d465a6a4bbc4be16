"""Written by build.py: names the exact bytes of model.onnx and tokenizer.json."""

FINGERPRINT = "all-MiniLM-L6-v2:4fec118bc1d32deb"
