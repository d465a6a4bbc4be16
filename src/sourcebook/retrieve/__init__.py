"""question -> hits: fusion of channels, near-duplicates, neighbours."""
