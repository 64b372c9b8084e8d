"""What Prometheus is told: one row per metric, records as samples, and the files and answers that carry them."""
