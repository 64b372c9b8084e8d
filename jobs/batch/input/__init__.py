"""Input files: found, chosen by ``--where``, looked at and hashed."""
