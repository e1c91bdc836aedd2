"""The process `npsflow intake`: webhooks of survey platforms."""
