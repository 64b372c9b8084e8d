"""What alias records come to: what stands where, which moves were deployments and rollbacks, how long recovery took."""

from datetime import timedelta

import pytest

from jobs.health.deployment import deployments, standings
from tests.factory.health import MODEL, NOW, START, Ward


def test_the_champion_comes_first_and_has_its_hashes_and_owner(ward: Ward) -> None:
    ward.move("canary", "1.1.0")
    ward.move("challenger", "2.0.0", day=2)
    found = standings(ward.registry, MODEL, ward.registry.history(MODEL))
    assert [(one.alias, one.version, one.number) for one in found] == [
        ("champion", "1.0.0", 1),
        ("challenger", "2.0.0", 3),
        ("canary", "1.1.0", 2),
    ]
    champion = found[0]
    manifest = ward.registry.manifest(MODEL, "1.0.0")
    assert (champion.owner, champion.model_sha256) == ("parcel team", manifest.files["model.onnx"])
    assert champion.bundle_sha256 == ward.registry.alias_record(MODEL, "champion").bundle_sha256
    assert champion.since == "2013-12-01T05:00:00.000000Z"


def test_a_manifest_that_cannot_be_read_leaves_its_fields_empty(ward: Ward) -> None:
    (ward.folder / "registry" / MODEL / "1.0.0" / "manifest.json").write_bytes(b"{")
    (champion,) = standings(ward.registry, MODEL, ward.registry.history(MODEL))
    assert (champion.version, champion.owner, champion.model_sha256) == ("1.0.0", None, None)


def test_a_move_to_an_earlier_version_is_a_rollback_and_recovery_begins_with_the_move_it_undid(ward: Ward) -> None:
    ward.move("challenger", "2.0.0", day=1)
    ward.move("champion", "1.1.0", day=10)
    ward.move("champion", "1.0.0", day=10.5, reason="nulls")
    ward.move("champion", "2.0.0", day=20)
    ward.move("champion", "1.1.0", day=20.25)
    found = deployments(ward.registry.history(MODEL), NOW)
    kinds = [(one.version, one.before, one.kind) for one in found.moves]
    assert kinds == [
        ("1.0.0", None, "deployment"),
        ("2.0.0", None, "other"),
        ("1.1.0", "1.0.0", "deployment"),
        ("1.0.0", "1.1.0", "rollback"),
        ("2.0.0", "1.0.0", "deployment"),
        ("1.1.0", "2.0.0", "rollback"),
    ]
    assert [one.recovered_s for one in found.moves if one.kind == "rollback"] == [43_200, 21_600]
    assert (found.total, found.rollbacks, found.recover_s) == (3, 2, 32_400)
    assert found.recent == 2, "the first was made 30 days and 7 hours before"


def test_a_move_to_the_same_version_is_neither(ward: Ward) -> None:
    ward.move("champion", "1.0.0", day=1, reason="once more")
    ward.move("champion", "1.1.0", day=2)
    ward.move("champion", "1.0.0", day=3)
    found = deployments(ward.registry.history(MODEL), NOW)
    assert [one.kind for one in found.moves] == ["deployment", "other", "deployment", "rollback"]
    assert found.recover_s == 86_400


@pytest.mark.parametrize(("days", "recent"), [(0, 1), (29.9, 1), (30.1, 0)])
def test_only_the_last_days_count_as_recent(ward: Ward, days: float, recent: int) -> None:
    assert deployments(ward.registry.history(MODEL), START + timedelta(days=days)).recent == recent


def test_nothing_was_ever_moved() -> None:
    found = deployments([], NOW)
    assert (found.moves, found.total, found.recover_s) == ((), 0, None)
