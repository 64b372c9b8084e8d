"""The commands of ``scoretrail``, one module for each group; engines load when a command's body runs."""
