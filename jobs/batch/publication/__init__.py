"""Publishing: one guarded commit, the rejects beside it, and the release of what was held."""
