"""The archive: predictions from Kafka in a Delta table, exactly once; made again from it alone; entities erased."""
