"""`npsflow.toml`: its sections, what may stand in them, and what to do about a mistake."""
