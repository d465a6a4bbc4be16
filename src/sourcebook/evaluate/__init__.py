"""How well it goes: metrics, and comparisons on a team's own documents and questions."""
