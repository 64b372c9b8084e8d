"""The plan of a run: which work there is, what is live already, what goes."""
