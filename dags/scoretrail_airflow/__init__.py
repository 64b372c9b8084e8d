"""What the DAGs share: how a Scoretrail command is called, judged, retried and told of.

It knows command lines, exit codes and the JSON that commands print; nothing of Scoretrail is imported.
"""
