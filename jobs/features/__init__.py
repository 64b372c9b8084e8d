"""Stored features: joined to records for batch scoring and training, loaded into the online store for the stream."""
