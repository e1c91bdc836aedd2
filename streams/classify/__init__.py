"""Stage `classify`: responses in; alerts, follow-ups, dead letters and counts out."""
