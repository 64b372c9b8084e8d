"""Ground truth: outcomes joined to the predictions they belong to, and how good these turned out to be."""
