"""A storage opens, or one line says why not and shows no password."""

import importlib.util
import threading
import time

import pytest

from pipeline.core.errors import SearchError
from pipeline.core.urls import sqlite_url
from pipeline.search.study.storage import creation_lock, open_storage


def opened(url):
    return open_storage(url, heartbeat_seconds=1, max_retries=0)


def test_a_new_sqlite_file_is_made_with_its_directory(tmp_path):
    path = tmp_path / "deep" / "study.db"
    opened(sqlite_url(path))
    assert path.exists()


def test_a_postgresql_database_is_opened(postgres_url):
    assert opened(postgres_url).get_all_studies() == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "is not a database URL. Give sqlite:///FILE"),
        ("sqlite://", "lives in the memory of one process"),
        ("sqlite:///:memory:", "lives in the memory of one process"),
        ("mysql://user:secret@host/x", "mysql is not supported"),
        ("postgresql+psycopg://u:secret@127.0.0.1:1/x", "the storage cannot be opened"),
        ("postgresql+psycopg://u:secret@host:port/x", "is not a database URL"),
        ("postgresql+psycopg://127.0.0.1:1/x?user=u&password=secret", "cannot be opened"),
        ("://u:secret@host", "is not a database URL"),
    ],
)
def test_what_cannot_be_a_storage_is_refused(url, message):
    with pytest.raises(SearchError) as refusal:
        opened(url)
    assert message in str(refusal.value)
    assert "secret" not in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_driver_that_is_missing_is_named_with_its_cure(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SearchError, match=r"needs psycopg.*pip install -e .\.\[postgres\]"):
        opened("postgresql+psycopg://u@host/x")


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "study.db"
    path.write_text("this is not a database, but a text that is longer than a header of one. " * 9)
    with pytest.raises(SearchError, match="cannot be opened"):
        opened(sqlite_url(path))


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_what_is_being_made_is_waited_for(database, request, tmp_path):
    url = sqlite_url(tmp_path / "x.db")
    if database == "postgresql":
        url = request.getfixturevalue("postgres_url")
    order = []

    def second():
        with creation_lock(url, "study"):
            order.append("second")

    with creation_lock(url, "study"):
        thread = threading.Thread(target=second)
        thread.start()
        with creation_lock(url, "tables"):  # another thing is not waited for
            time.sleep(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
