"""What holds for every task unless it says otherwise."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from scoretrail_airflow.failure import RETRY_POLICY
from scoretrail_airflow.notice import Notice

OWNER: Final = "flight-ops"
TAGS: Final = ("scoretrail", "flights")
SPARK_POOL: Final = "scoretrail_spark"
"""As many slots as Spark applications may run at once."""

ARGUMENTS: Final[dict[str, Any]] = {
    "owner": OWNER,
    "retries": 3,
    "retry_exponential_backoff": 2.0,
    "max_retry_delay": timedelta(minutes=30),
    "retry_policy": RETRY_POLICY,
    "execution_timeout": timedelta(hours=2),
    "on_failure_callback": [Notice()],
}
"""``default_args``. The first delay is Airflow's own ``[core] default_task_retry_delay``."""
