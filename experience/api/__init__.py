"""REST beyond blueprints and gates, one file for each thing. protocol.md §4."""
