import sqlite3
from pathlib import Path

import pytest
import sqlalchemy

from pipeline.core.urls import absolute_url, hide_passwords, sqlite_path, sqlite_url, without_user

ODD_NAMES = ("plain", "job%41", "a%20b", "a?b", "a#b", "a b", "a@b:c", "é", "100%", "a+b&c=d")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_database_is_created_in_the_named_directory(tmp_path, name):
    directory = tmp_path / name
    directory.mkdir()
    url = sqlite_url(directory / "x.db")
    with sqlalchemy.create_engine(url).begin() as connection:
        connection.execute(sqlalchemy.text("create table t (a int)"))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert sqlite3.connect(directory / "x.db").execute("select count(*) from t").fetchone() == (0,)
    assert sqlite_path(url) == directory / "x.db"


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_relative_url_becomes_absolute(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    assert sqlite_path(absolute_url("sqlite:///x.db")) == tmp_path / name / "x.db"
    assert absolute_url("sqlite:///x.db?timeout=60").endswith("/x.db?timeout=60")


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        *[
            (url, url)
            for url in ("", "sqlite:////x.db", "sqlite:///:memory:", "postgresql://u@h/x")
        ],
        ("sqlite:////a%20b/x.db", "sqlite:////a b/x.db"),
    ],
)
def test_an_absolute_url_does_not_change_except_its_encoding(url, absolute):
    assert absolute_url(url) == absolute


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////a%2520b/x.db", Path("/a%20b/x.db")),
        *[(url, None) for url in ("http://h/x.db", "sqlite://", "sqlite:///:memory:", "./mlruns")],
    ],
)
def test_only_sqlite_urls_have_a_path(url, path):
    assert sqlite_path(url) == path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:s3cret@host", "http://me:***@host"),
        ("http://me:s3@cret@host:80/x", "http://me:***@host:80/x"),
        ("https://s3cret@host/x", "https://***@host/x"),
        ("http://:s3cret@host", "http://:***@host"),
        ("http://me:12345@host", "http://me:***@host"),
        ("http//me:s3cret@host", "http//me:***@host"),
        ("postgresql+psycopg://me:s3/cret@host/db", "postgresql+psycopg://me:***@host/db"),
        ("postgresql://h/db?password=s3cret&a=b", "postgresql://h/db?password=***&a=b"),
        ("connect to 'http://me:s3cret@h' failed", "connect to 'http://me:***@h' failed"),
        ("invalid dsn: host=h password=s3cret", "invalid dsn: host=h password=***"),
        ("mssql+pyodbc:///?odbc_connect=PWD%3Ds3cret", "mssql+pyodbc:///?odbc_connect=***"),
    ],
)
def test_a_password_is_hidden(text, shown):
    assert hide_passwords(text) == shown
    assert hide_passwords(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000/path?mail=a@b",
        "postgresql://me@host/db",
        "sqlite:////tmp/a@b:c/x.db",
        "http://127.0.0.1:5000, or write to me@host",
        "s3://bucket/key@2",
    ],
)
def test_other_texts_do_not_change(text):
    assert hide_passwords(text) == text


def test_user_and_password_are_removed():
    assert without_user("http://me:s3cret@host:80/x?m=a@b") == "http://host:80/x?m=a@b"
    assert without_user("http://host/x?m=a@b") == "http://host/x?m=a@b"
