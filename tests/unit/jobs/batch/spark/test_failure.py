"""Spark's failures in our words; the texts are what Spark 4.3 said."""

import pytest

from jobs.batch.spark.failure import raise_of_start, raise_of_task
from scoretrail.errors import (
    ConfigurationError,
    DependencyError,
    EngineError,
    InputChangedError,
    ScoretrailError,
)

ABORTED = (
    "An error occurred while calling z:org.apache.spark.api.python.PythonRDD.collectAndServe.\n"
    ": org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 0.0 failed 4 times, most "
    "recent failure: Lost task 0.3 in stage 0.0 (TID 10) (localhost executor 1): "
)
PYTHON_EXCEPTION = (
    "org.apache.spark.api.python.PythonException: [PYTHON_EXCEPTION] An exception was thrown from the Python worker: "
    "Traceback (most recent call last):\n"
)


def of_task(text: str) -> ScoretrailError:
    with pytest.raises(ScoretrailError) as caught:
        raise_of_task(RuntimeError(ABORTED + text))
    return caught.value


def of_start(text: str) -> ScoretrailError:
    with pytest.raises(ScoretrailError) as caught:
        raise_of_start(RuntimeError(text), "spark://here:7077")
    return caught.value


def test_a_library_that_an_executor_lacks_is_named() -> None:
    error = of_task(PYTHON_EXCEPTION + "ModuleNotFoundError: No module named 'onnxruntime'\n\n\tat org.apache.Some")
    assert type(error) is DependencyError
    assert "onnxruntime" in error.what
    assert "PYSPARK_PYTHON" in str(error.fix)


@pytest.mark.parametrize(
    "text",
    [
        'java.io.IOException: Cannot run program "/no/such/python": error=2, No such file or directory',
        PYTHON_EXCEPTION + "pyspark.errors.exceptions.base.PySparkRuntimeError: [PYTHON_VERSION_MISMATCH] Python in "
        "worker has different version: 3.12 than that in driver: 3.11, PySpark cannot run with different minor ...",
    ],
)
def test_a_python_that_does_not_run_or_is_another_is_a_dependency(text: str) -> None:
    assert type(of_task(text)) is DependencyError


def test_an_error_of_ours_that_may_pass_comes_back_as_itself() -> None:
    text = "scoretrail.errors.InputChangedError: an input file changed\n  where: a.parquet\n\n\tat org.apache.Some"
    error = of_task(PYTHON_EXCEPTION + text)
    assert type(error) is InputChangedError
    assert error.what.startswith("an input file changed")


@pytest.mark.parametrize(
    "text",
    [
        "Python worker exited unexpectedly (crashed)",
        "ExecutorLostFailure (executor 1 exited caused by one of the running tasks) Reason: killed",
        PYTHON_EXCEPTION + "scoretrail.errors.BundleError: a file of the bundle was changed\n\n\tat org.apache.Some",
    ],
)
def test_whatever_else_ended_a_task_may_pass(text: str) -> None:
    error = of_task(text)
    assert type(error) is EngineError
    assert "same command again" in str(error.fix)


@pytest.mark.parametrize(
    "text",
    [
        "org.apache.spark.SparkException: Could not parse Master URL: 'sparkk://here:7077'",
        ": java.io.FileNotFoundException: File file:/there/scoretrail.whl does not exist",
        "java.lang.IllegalArgumentException: System memory 100 must be at least 471859200.",
    ],
)
def test_a_start_that_no_second_try_mends_is_a_matter_of_configuration(text: str) -> None:
    error = of_start("An error occurred while calling None.org.apache.spark.api.java.JavaSparkContext.\n" + text)
    assert type(error) is ConfigurationError
    assert error.got == text.removeprefix(": ")


def test_any_other_start_may_succeed_later() -> None:
    error = of_start("java.lang.IllegalStateException: Cannot call methods on a stopped SparkContext.")
    assert type(error) is EngineError
    assert error.where == "spark://here:7077"


def test_a_missing_java_is_told_with_what_installs_it() -> None:
    error = of_start("[JAVA_GATEWAY_EXITED] Java gateway process exited before sending its port number.")
    assert type(error) is DependencyError
    assert "jre" in str(error.fix)
