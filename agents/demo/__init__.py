"""`npsflow demo`: the whole system on sample data, proven against an oracle."""
