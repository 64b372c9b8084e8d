from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scoretrail.errors import ModelError
from scoretrail.model import profile as profiles
from scoretrail.model.manifest import GOLDEN, MODEL
from tests.factory.altered import changed, with_one_bit_changed
from tests.factory.registered import Registered


def test_a_registered_bundle_was_measured_in_a_process_of_its_own(registered_linear: Registered) -> None:
    profile = registered_linear.manifest.profile

    assert profile.bundle_bytes == sum(
        len(registered_linear.resolved.files[name]) for name in registered_linear.manifest.files
    )
    assert 0 < profile.load_s < 60
    assert 20 * 2**20 < profile.peak_memory_bytes < 2 * 2**30
    assert 0 < profile.p50_ms <= profile.p95_ms <= profile.p99_ms
    assert profile.batch_rows == 1000
    assert profile.cpu == profiles.cpu_name() != ""


def test_a_fresh_process_counts_the_golden_rows_that_differ(registered_linear: Registered) -> None:
    measured = profiles.measure(with_one_bit_changed(registered_linear.resolved.files))

    assert measured.golden_differences == 1


def test_what_feature_code_prints_does_not_get_into_the_measurement(
    registered_linear: Registered, tmp_path: Path
) -> None:
    files = registered_linear.resolved.files
    loud = files["features.py"] + b"\nprint('{')\n"
    folder = tmp_path / "bundle"
    folder.mkdir()
    for name, data in changed(files, {"features.py": loud}).items():
        (folder / name).write_bytes(data)

    measured = profiles._measure_here(folder)

    assert measured.golden_differences == 0


def test_a_bundle_that_cannot_be_loaded_gives_the_last_words_of_the_process(registered_linear: Registered) -> None:
    with pytest.raises(ModelError, match="a fresh process cannot load and run the bundle") as caught:
        profiles.measure({**registered_linear.resolved.files, MODEL: b"no model"})
    assert "was changed" in str(caught.value.got) or MODEL in str(caught.value.got)


def test_a_process_that_hangs_is_given_up_on(registered_linear: Registered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "_TIME_LIMIT_S", 0.05)

    with pytest.raises(ModelError, match="took too long to be measured") as caught:
        profiles.measure(registered_linear.resolved.files)
    assert caught.value.expected == "0.05 s"


def test_where_there_is_no_proc_the_system_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with_proc = profiles._peak_memory_bytes()
    monkeypatch.setattr(Path, "is_file", lambda self: False)
    without = profiles._peak_memory_bytes()

    assert with_proc > 10 * 2**20
    assert with_proc / 2 < without < with_proc * 2
    assert profiles.cpu_name() != ""


def test_where_proc_says_nothing_the_system_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self, encoding: "another: line\n")

    assert profiles._peak_memory_bytes() > 10 * 2**20
    assert profiles.cpu_name() != ""


def test_measuring_needs_no_training_library(registered_linear: Registered, tmp_path: Path) -> None:
    """What a worker loads: neither scikit-learn nor onnx, which only registration needs."""
    for name, data in registered_linear.resolved.files.items():
        (tmp_path / name).write_bytes(data)
    program = f"""
import sys
from pathlib import Path
from scoretrail.model.bundle import open_bundle
bundle = open_bundle({{path.name: path.read_bytes() for path in Path({str(tmp_path)!r}).iterdir()}})
assert bundle.repeats_bits
assert not {{"onnx", "sklearn", "skl2onnx", "pyspark"}} & set(sys.modules)
"""
    assert GOLDEN in registered_linear.resolved.files
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
