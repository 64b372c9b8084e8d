"""A small model of our own making, and the program called in this process or in one of its own."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import structlog
from onnx import TensorProto, helper

from jobs import cli
from scoretrail.clock import SystemClock
from scoretrail.model import manifest as manifests
from scoretrail.model.registry import Registry
from scoretrail.storage import Storage

FEATURES = """\
import pyarrow as pa

from scoretrail.feature import FeatureView, Request

house = FeatureView(
    name="house",
    entity_key="id",
    event_time="at",
    request=[Request("rooms", pa.float32(), minimum=0), Request("area", pa.float32(), description="square metres")],
    inputs=["rooms", "area"],
)
"""
CARD = ("--owner", "team houses", "--intended-use", "tests", "--limitations", "all others")


@dataclass(frozen=True)
class Answer:
    """What a call of the program left."""

    code: int
    out: str
    err: str

    @property
    def object(self) -> Any:
        """The one JSON object on standard output; anything more on it is an error here."""
        return json.loads(self.out)


Call = Callable[..., Answer]


def linear_model(weights: tuple[float, float] = (2.0, 0.5)) -> bytes:
    """Return a regressor of two inputs as ONNX."""
    node = helper.make_node(
        "LinearRegressor",
        ["x"],
        ["price"],
        domain="ai.onnx.ml",
        coefficients=list(weights),
        intercepts=[1.0],
        targets=1,
    )
    graph = helper.make_graph(
        [node],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("price", TensorProto.FLOAT, [None, 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def houses(rows: int, seed: int = 1) -> pa.Table:
    """Return records of the view, and a column more."""
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "id": [f"h{i}" for i in range(rows)],
            "at": pa.array(np.arange(rows) * 1_000_000, pa.timestamp("us", tz="UTC")),
            "rooms": pa.array(random.integers(1, 9, rows), pa.int8()),
            "area": pa.array(random.uniform(20, 300, rows), pa.float32()),
            "price": random.uniform(1, 9, rows),
        }
    )


@pytest.fixture(autouse=True)
def _logs_of_their_own() -> Iterator[None]:
    """Forget the log's stream, which is closed when the test ends."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs one command line in this process, in a folder with a model to register."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(linear_model())
    (tmp_path / "features.py").write_text(FEATURES, encoding="utf-8")
    pq.write_table(houses(500), tmp_path / "train.parquet")
    capfd.readouterr()

    def run(*arguments: str | Path) -> Answer:
        code = cli.run([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Answer(code, out, err)

    return run


@pytest.fixture
def register(call: Call) -> Call:
    """Return a function that registers the model, with further options."""

    def run(version: str, *more: str | Path) -> Answer:
        required = ("--onnx", "model.onnx", "--features", "features.py:house", *CARD)
        data = () if "--golden" in more or "--training-data" in more else ("--training-data", "train.parquet")
        return call("model", "register", "house", version, *required, *data, *more)

    return run


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Register ``house`` 1.0.0 as champion, once for all tests, and return the registry."""
    folder = tmp_path_factory.mktemp("pristine")
    (folder / "model.onnx").write_bytes(linear_model())
    (folder / "features.py").write_text(FEATURES, encoding="utf-8")
    pq.write_table(houses(500), folder / "train.parquet")
    place = str(folder / "registry")
    files = ("--onnx", str(folder / "model.onnx"), "--features", f"{folder / 'features.py'}:house")
    data = ("--training-data", str(folder / "train.parquet"), "--alias", "champion", "--quiet")
    code = cli.run(["--set", f"registry.uri={place}", "model", "register", "house", "1.0.0", *files, *CARD, *data])
    assert code == 0
    structlog.reset_defaults()
    return folder / "registry"


@pytest.fixture
def registered(call: Call, pristine: Path, tmp_path: Path) -> Path:
    """Return the folder of ``house`` 1.0.0 in a registry of the test's own, which ``call`` finds."""
    shutil.copytree(pristine, tmp_path / "registry")
    return tmp_path / "registry" / "house" / "1.0.0"


def publish_again(registered: Path, version: str, **changes: Any) -> None:
    """Publish the registered files as a further version, without the proof that registration makes."""
    manifest = manifests.parse((registered / manifests.MANIFEST).read_bytes())
    files = {name: (registered / name).read_bytes() for name in manifest.files}
    registry = Registry(Storage(str(registered.parents[1])), SystemClock())
    registry.publish(manifest.model_copy(update={"version": version, **changes}), files)
