"""One redrive on a real broker, with a SIGKILL or a wait between two steps of its choice.

Called with one JSON object: ``bootstrap``, ``input``, ``dead_letters``, ``kafka``, ``fault`` (``kill``, or ``wait`` for
a line), ``step`` and ``times`` (at which of its occurrences). Prints what it did.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from functools import partial

from jobs.stream.kafka.broker import KafkaOutput
from jobs.stream.kafka.cluster import KafkaCluster
from jobs.stream.kafka.reader import KafkaReader
from jobs.stream.message.redrive_header import redrive_topic
from jobs.stream.redrive.filter import RedriveFilter
from jobs.stream.redrive.redrive import RedriveRequest, redrive
from scoretrail.errors import ScoretrailError
from scoretrail.setting import KafkaSettings


def main() -> int:
    plan = json.loads(sys.argv[1])
    settings = KafkaSettings(bootstrap=(plan["bootstrap"],), **plan.get("kafka", {}))
    seen: Counter[str] = Counter()

    def on_step(name: str) -> None:
        seen[name] += 1
        if name != plan.get("step") or seen[name] != plan.get("times", 1):
            return
        sys.stdout.write(json.dumps({"fault": name}) + "\n")
        sys.stdout.flush()
        if plan["fault"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        sys.stdin.readline()

    with KafkaCluster(settings) as cluster:
        request = RedriveRequest(topics=(plan["input"],), cluster=cluster.id(), role="champion", filter=RedriveFilter())
    name = f"redrive-{plan['input']}"
    try:
        with (
            KafkaReader(settings, [plan["dead_letters"]], name) as letters,
            KafkaReader(settings, [redrive_topic(plan["input"])], name) as redriven,
        ):
            result = redrive(request, letters, redriven, partial(KafkaOutput.open, settings, name), on_step)
    except ScoretrailError as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return int(error.exit_code)
    sys.stdout.write(json.dumps(result.to_json()) + "\n")
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # without waiting for the client's threads
