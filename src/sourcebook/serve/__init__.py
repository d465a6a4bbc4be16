"""How others reach a book: over MCP."""
