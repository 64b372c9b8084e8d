"""The loop: one turn is one micro-batch and one transaction."""
