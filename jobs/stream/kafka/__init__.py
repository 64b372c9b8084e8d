"""Kafka's client: the two ends of the loop, what a cluster says of itself, and readers without a group."""
