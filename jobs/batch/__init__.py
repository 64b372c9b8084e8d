"""Batch scoring: Spark schedules, Arrow and ONNX Runtime work, one Delta commit publishes."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.batch.dataframe import score_dataframe

__all__ = ["score_dataframe"]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Load ``score_dataframe`` when it is asked for: with it comes pyspark, which planning does without.

    Raises:
        AttributeError: there is nothing of that name.
    """
    if name == "score_dataframe":
        from jobs.batch.dataframe import score_dataframe  # noqa: PLC0415

        return score_dataframe
    raise AttributeError(name)
