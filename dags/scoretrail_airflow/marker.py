"""Whether a day's data is whole: its folder holds the file that the writer puts there last."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.sdk import ObjectStoragePath

from scoretrail_airflow.deployment import Deployment
from scoretrail_airflow.environment import ScoringEnvironment

if TYPE_CHECKING:
    from typing import Literal

log = logging.getLogger(__name__)


def is_complete(data: Literal["features", "records"], day: str) -> bool:
    """Tell whether a day of a data set is whole, and say in the log what is there instead.

    Args:
        data: key of the deployment that names the root; ``DATA_marker`` names the file, null any file at all.
        day: of the partition.

    Raises:
        AirflowFailException: the deployment or the scoring environment is not configured.
    """
    deployment = Deployment.load()
    marker = deployment.maybe(f"{data}_marker")
    root = ScoringEnvironment.load().place(deployment.text(data))
    folder = ObjectStoragePath(root if "://" in root else f"file://{root}") / deployment.slice_of(day)
    if not folder.exists():
        log.warning("no data of %s yet: there is no %s", day, folder)
        return False
    if marker is None:
        return any(True for _ in folder.iterdir())
    if not (folder / marker).exists():
        log.warning("the data of %s is not whole: %s has no %s", day, folder, marker)
        return False
    return True
