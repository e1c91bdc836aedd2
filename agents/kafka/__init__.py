"""Kafka clients for processes and commands."""
