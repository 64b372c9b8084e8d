import pytest

from jobs.batch.plan.scope import Scope, ScopeBook
from scoretrail.storage import Storage

SCOPE = Scope("/data", "ds=1", "m", "champion")


def test_an_id_is_the_digest_of_all_four_parts() -> None:
    others = [
        Scope("/other", "ds=1", "m", "champion"),
        Scope("/data", "ds=2", "m", "champion"),
        Scope("/data", "ds=1", "n", "champion"),
        Scope("/data", "ds=1", "m", "challenger"),
        Scope("/data", "", "ds=1m", "champion"),
    ]
    assert len({scope.id for scope in [SCOPE, *others]}) == 6
    assert SCOPE.id == Scope("/data", "ds=1", "m", "champion").id
    assert len(SCOPE.id) == 12


def test_the_book_says_what_an_id_means() -> None:
    book = ScopeBook(Storage("memory://"))
    assert book.read(SCOPE.id) is None
    other = Scope("/data", "", "m", "champion")
    book.note([SCOPE])
    book.note([SCOPE, other])
    assert (book.read(SCOPE.id), book.read(other.id)) == (SCOPE, other)


def test_two_writers_may_note_the_same_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage("memory://")
    book = ScopeBook(storage)
    book.note([SCOPE])
    monkeypatch.setattr(storage, "list", lambda prefix: iter(()))  # what the other writer saw before
    book.note([SCOPE])
    assert book.read(SCOPE.id) == SCOPE
