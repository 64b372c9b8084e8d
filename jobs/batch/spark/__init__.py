"""Spark as a scheduler: its session and cluster, its failures, and our code on its way to the executors."""
