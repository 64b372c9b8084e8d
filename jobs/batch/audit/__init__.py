"""The trail of a run: recorded, verified against what lies on disk, and scored again."""
