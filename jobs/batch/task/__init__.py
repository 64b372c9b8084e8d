"""What runs in a Spark task: read one piece of work, score it, write it."""
