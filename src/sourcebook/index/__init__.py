"""Where vectors and terms are kept, one file for each engine."""
