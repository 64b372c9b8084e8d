"""The one file that is given to ``spark-submit``: it calls the command line, whose arguments follow it."""

from jobs.cli import main

if __name__ == "__main__":
    main()
