"""Our parts inside other frameworks, and theirs inside ours. Nothing here is imported unless it is asked for."""
