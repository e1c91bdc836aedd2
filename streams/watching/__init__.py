"""Watching scores: rules, and the evidence for and against them. Pure; roll up gives it counts and time."""
