"""Kafka: connections, topics, what is committed, and what is read and written."""
