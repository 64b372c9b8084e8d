"""A worker seen from outside, and how it ends: health, figures, log lines, spans, signals, watchdog."""
