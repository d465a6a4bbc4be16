"""The truth: documents, versions, passages and their text, access lists, embeddings, answers."""
