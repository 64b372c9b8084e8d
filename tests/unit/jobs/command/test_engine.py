"""The doctor's look at ONNX Runtime and Spark's jars."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

from jobs.command.engine import TINY_MODEL, check_onnxruntime, check_spark_home


def sum_of(*names: str) -> bytes:
    """Return a graph that adds up tensors of these names."""
    graph = helper.make_graph(
        [helper.make_node("Sum" if len(names) > 2 else "Add", names, ["y"])],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


def test_the_tiny_model_is_what_it_says() -> None:
    onnx.checker.check_model(onnx.load_model_from_string(TINY_MODEL))
    assert sum_of("x", "x") == TINY_MODEL


def test_onnx_runtime_runs_it() -> None:
    finding = check_onnxruntime()
    assert finding.is_good
    assert "runs a model" in finding.found


def test_a_machine_that_adds_wrongly_is_told() -> None:
    finding = check_onnxruntime(sum_of("x", "x", "x"))
    assert finding.cause is not None
    assert "adds wrongly" in finding.cause


def test_an_engine_that_cannot_run_a_model_is_told() -> None:
    assert not check_onnxruntime(TINY_MODEL[:-5]).is_good


def test_the_jars_are_pysparks() -> None:
    assert check_spark_home({}).is_good


def test_jars_of_another_spark_are_told(tmp_path: Path) -> None:
    (tmp_path / "jars").mkdir()
    assert check_spark_home({"SPARK_HOME": str(tmp_path)}).found.startswith("none")
    (tmp_path / "jars" / "spark-core_2.13-3.5.1.jar").touch()
    finding = check_spark_home({"SPARK_HOME": str(tmp_path)})
    assert finding.found.startswith("3.5.1")
    assert finding.fix == "unset SPARK_HOME"
