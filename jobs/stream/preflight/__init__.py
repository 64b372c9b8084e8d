"""Every requirement of a worker looked at, one by one, before it starts."""
