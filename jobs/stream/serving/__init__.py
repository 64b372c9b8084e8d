"""Which bundle serves, and the record of it."""
