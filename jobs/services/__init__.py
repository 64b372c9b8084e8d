"""Real Kafka and Valkey on 127.0.0.1 for demo, development and tests; fetched once, pinned, and ended for sure."""
