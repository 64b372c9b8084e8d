"""Scoring events: one thread, one transaction per micro-batch."""
