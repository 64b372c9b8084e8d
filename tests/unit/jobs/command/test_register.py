"""``scoretrail model register``."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scoretrail import digest
from scoretrail.model.manifest import parse
from tests.unit.jobs.command.conftest import Call, houses


@pytest.mark.integration
def test_everything_that_is_stated_is_in_the_manifest(register: Call, tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text("owner: overruled\nlicence: Apache-2.0\nchanges: first\n")
    (tmp_path / "metrics.json").write_text(
        '{"rmse": 0.5, "r2": {"value": 0.7, "low": 0.6, "high": 0.8, "data": "all"}}'
    )
    (tmp_path / "parameters.yaml").write_text("alpha: 0.1\nuntil: 2013-08-31\n")
    (tmp_path / "lock.txt").write_text("numpy==2\n")
    pq.write_table(houses(20, seed=2), tmp_path / "golden.parquet")
    answer = register(
        *("1.0.0", "--training-data", "train.parquet", "--golden", "golden.parquet", "--alias", "challenger"),
        *("--card", "card.yaml", "--metrics", "metrics.json", "--parameters", "parameters.yaml"),
        *("--parameters", "depth=3", "--seed", "7", "--lock", "lock.txt", "--window", "2013-01-01..2013-08-31"),
        *("--task", "regression", "--guard-min", "-10", "--guard-max", "1e6", "--cap-min", "0", "--cap-max", "900"),
        *("--abstain", "100,120,ask", "--code-commit", "abc", "--json"),
    )
    assert answer.code == 0, answer.err
    folder = tmp_path / "registry" / "house" / "1.0.0"
    manifest = parse((folder / "manifest.json").read_bytes())
    assert answer.object["bundle_sha256"] == digest.of_bytes((folder / "manifest.json").read_bytes())
    assert answer.object["block"] == 1024
    assert answer.object["profile"]["load_s"] > 0
    assert manifest.card.model_dump() == {
        "owner": "team houses",
        "intended_use": "tests",
        "limitations": "all others",
        "changes": "first",
        "licence": "Apache-2.0",
    }
    assert [(m.name, m.value, m.low, m.data) for m in manifest.metrics] == [
        ("rmse", 0.5, None, ""),
        ("r2", 0.7, 0.6, "all"),
    ]
    training = manifest.training
    assert training.parameters == {"alpha": 0.1, "until": "2013-08-31", "depth": 3}
    assert (training.rows, training.seed, training.code_commit) == (500, 7, "abc")
    assert (training.window_start, training.window_end) == ("2013-01-01", "2013-08-31")
    assert training.lock_sha256 == digest.of_bytes(b"numpy==2\n")
    data_sha256 = digest.of_bytes((tmp_path / "train.parquet").read_bytes())
    assert training.data_sha256 == digest.of_json([["train.parquet", data_sha256]])
    assert manifest.guards.model_dump() == {"minimum": -10, "maximum": 1e6, "cap_minimum": 0, "cap_maximum": 900}
    assert manifest.abstention is not None
    assert manifest.abstention.decision == "ask"
    assert pq.read_metadata(folder / "golden.parquet").num_rows == 20
    assert (tmp_path / "registry" / "house" / "aliases" / "000001.json").is_file()


@pytest.mark.integration
def test_golden_rows_alone_are_enough(register: Call, tmp_path: Path) -> None:
    pq.write_table(houses(30), tmp_path / "golden.parquet")
    answer = register("1.0.0", "--golden", "golden.parquet")
    assert answer.code == 0, answer.err
    assert "next: scoretrail model show models:/house/1.0.0" in answer.err
    assert "scoretrail model alias house champion 1.0.0" in answer.err
    manifest = parse((tmp_path / "registry" / "house" / "1.0.0" / "manifest.json").read_bytes())
    assert manifest.training.data_sha256 is None


@pytest.mark.integration
def test_a_profile_above_the_budget_exits_with_70(register: Call, tmp_path: Path) -> None:
    answer = register("1.0.0", "--set", "registry.budget.max_bundle_mib=0.0001")
    assert answer.code == 70
    assert "registry.budget.max_bundle_mib" in answer.err
    assert not (tmp_path / "registry" / "house" / "1.0.0" / "manifest.json").exists()


@pytest.mark.integration
def test_a_registration_under_way_exits_with_75(register: Call, tmp_path: Path) -> None:
    claimed = tmp_path / "registry" / "house" / "1.0.0" / "features.py"
    claimed.parent.mkdir(parents=True)
    claimed.write_text("# somebody else's\n")
    answer = register("1.0.0")
    assert answer.code == 75
    assert "model discard" in answer.err


def test_what_is_sure_to_be_refused_is_refused_before_data_is_read(register: Call, registered: Path) -> None:
    for more, text in (
        (("1.0.0",), "exists already"),
        (("1.1",), "is no version"),
        (("1.1.0", "--alias", "previous"), "never moved"),
        (("1.1.0", "--alias", "No Name"), "is no name"),
    ):
        answer = register(*more)
        assert answer.code == 65
        assert text in answer.err
        assert "reading" not in answer.err


USAGE = [
    (("--onnx", "nowhere.onnx"), "does not exist"),
    (("--golden", "nowhere.parquet"), "does not exist"),
    (("--features", "features.py"), "FILE.py:VIEW"),
    (("--window", "2013"), "START..END"),
    (("--window", "2014-01-01..2013-01-01"), "START..END"),
    (("--abstain", "0.4,0.6"), "LOW,HIGH,DECISION"),
    (("--abstain", "0.6,0.4,ask"), "is not below"),
    (("--guard-min", "2", "--guard-max", "1"), "is above maximum"),
    (("--parameters", "nowhere.yaml"), "neither KEY=VALUE nor a file"),
    (("--task", "guessing"), "guessing"),
    (("--threshold", "0.5"), "binary classifier"),
    (("--owner", ""), "--owner"),
]


@pytest.mark.parametrize(("arguments", "text"), USAGE, ids=[" ".join(arguments) for arguments, _ in USAGE])
def test_what_cannot_be_understood_exits_with_2(register: Call, arguments: tuple[str, ...], text: str) -> None:
    answer = register("1.0.0", *arguments)
    assert answer.code == 2, answer.err
    assert text in answer.err


def test_without_rows_there_is_no_proof(call: Call) -> None:
    answer = call(
        *("model", "register", "house", "1.0.0", "--onnx", "model.onnx", "--features", "features.py:house"),
        *("--owner", "o", "--intended-use", "i", "--limitations", "l"),
    )
    assert answer.code == 2
    assert "--training-data PATH" in answer.err


FILES = [
    (("--metrics", "file"), "auc: [", "neither YAML nor JSON"),
    (("--metrics", "file"), "- 1", "no mapping"),
    (("--metrics", "file"), "auc: high", "auc"),
    (("--card", "file"), "limits: none", "did you mean limitations?"),
    (("--features", "file:house"), "import os", "may not import os"),
    (("--features", "file:hose"), "x = 1", "no view 'hose'"),
    (("--features", "nowhere.py:house"), "", "no such feature code"),
    (("--onnx", "file"), "no onnx", "not ONNX"),
    (("--training-data", "file"), "no parquet", "no readable Parquet file"),
    (("--golden", "file"), "no parquet", "no readable Parquet file"),
    (("--training-data", "nowhere"), "", "cannot be listed"),
]


@pytest.mark.parametrize(("arguments", "content", "text"), FILES, ids=[text for *_, text in FILES])
def test_a_file_that_cannot_be_used_exits_with_65(
    register: Call, tmp_path: Path, arguments: tuple[str, ...], content: str, text: str
) -> None:
    (tmp_path / "file").write_text(content)
    answer = register("1.0.0", *arguments)
    assert answer.code == 65, answer.err
    assert text in answer.err


def test_golden_rows_are_a_sample(register: Call, tmp_path: Path) -> None:
    pq.write_table(houses(10_001), tmp_path / "golden.parquet")
    answer = register("1.0.0", "--golden", "golden.parquet")
    assert answer.code == 2
    assert "10,001" in answer.err


def test_data_that_does_not_fit_the_view_names_file_and_column(register: Call, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "roms": [1]}), tmp_path / "other.parquet")
    answer = register("1.0.0", "--training-data", "other.parquet")
    assert answer.code == 65
    assert "other.parquet" in answer.err
    assert "column 'at' is missing" in answer.err
