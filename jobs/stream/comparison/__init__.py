"""What champion and challenger made of the same events, brought together and summed up."""
