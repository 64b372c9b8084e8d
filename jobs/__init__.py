"""The programs that run on Scoretrail's machinery: batch jobs, and the command line that starts them."""
