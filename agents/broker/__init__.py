"""The embedded Kafka, for the demo and the tests."""
