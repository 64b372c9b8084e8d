"""What is on the topics: events, predictions and dead letters, their names, ids and contracts."""
