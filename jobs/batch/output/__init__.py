"""Output files: written, merged, kept in order, and read again."""
