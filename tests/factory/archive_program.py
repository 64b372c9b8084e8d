"""One archiver on a real broker, with a SIGKILL between two steps of its choice.

Called with one JSON object: ``settings`` by dotted name, ``model``, ``once``, ``step`` and ``times`` (at which of its
occurrences it is killed). Prints a line once it polls, and its totals at the end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

from jobs.archive.service import ArchiveRequest, archive
from jobs.stream.operation.stopping import Stopping
from scoretrail import config
from scoretrail.clock import SystemClock
from scoretrail.errors import ScoretrailError
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage


def main() -> int:
    plan = json.loads(sys.argv[1])
    settings = config.load(plan["settings"], folder=Path("no-settings")).settings
    seen: Counter[str] = Counter()

    def on_step(name: str) -> None:
        if not seen:
            sys.stdout.write(json.dumps({"polls": True}) + "\n")
            sys.stdout.flush()
        seen[name] += 1
        if name == plan.get("step") and seen[name] == plan.get("times", 1):
            os.kill(os.getpid(), signal.SIGKILL)

    stopping = Stopping(settings.stream.drain_s)
    stopping.listen()
    registry = Registry(Storage(settings.registry.uri), SystemClock())
    request = ArchiveRequest(model=plan["model"], once=plan.get("once", True), on_step=on_step)
    try:
        totals = archive(settings, registry, request, SystemClock(), stopping)
    except ScoretrailError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.exit_code)
    sys.stdout.write(json.dumps(vars(totals)) + "\n")
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # without waiting for the client's threads
