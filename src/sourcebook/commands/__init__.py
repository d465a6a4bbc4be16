"""The commands of the command line, by subject. Each module imports what it needs only when it runs."""
