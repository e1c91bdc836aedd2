"""Meaning and topology: pure modules that decide, engine modules that move records."""
