"""text -> vectors, and text -> terms."""
