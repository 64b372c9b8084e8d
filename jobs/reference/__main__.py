"""``python -m jobs.reference``: writes the generated pages and contracts again (``make docs-reference``)."""

import sys

from jobs.reference.build import generated, write
from scoretrail.errors import ScoretrailError

if __name__ == "__main__":
    try:
        written = write(generated())
    except ScoretrailError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201  (a program that talks to a person)
        sys.exit(int(error.exit_code))
    print("\n".join(f"wrote {path}" for path in written) or "everything is current")  # noqa: T201
