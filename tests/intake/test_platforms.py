"""Every adapter conforms; adding one is a file and a folder."""

import shutil
from functools import cache
from pathlib import Path

import pytest

from npsflow.agents.intake import platforms

from .conformance import FIXTURES, Conformance
from .signing import SIGN, SIGNS_A_TIME, standard_webhooks


@cache
def conformance(name: str) -> Conformance:
    return Conformance(FIXTURES / name, SIGN[name], signs_a_time=name in SIGNS_A_TIME)


def test_every_platform_has_fixtures() -> None:
    assert platforms.names() == sorted(folder.name for folder in FIXTURES.iterdir()) == sorted(SIGN)


@pytest.mark.parametrize("name", sorted(SIGN))
def test_platform_conforms(name: str) -> None:
    conformance(name).conforms()


def test_a_platform_is_added_by_a_file_and_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As CONTRIBUTING.md says."""
    module = tmp_path / "newcomer.py"
    source = Path(platforms.__file__).parent / "formbricks.py"
    module.write_text(source.read_text())
    shutil.copytree(FIXTURES / "formbricks", tmp_path / "fixtures")
    form = tmp_path / "fixtures" / "form.toml"
    form.write_text(form.read_text().replace('"formbricks"', '"newcomer"', 1))
    expected = tmp_path / "fixtures" / "expected.json"
    expected.write_text(expected.read_text().replace('"source": "formbricks"', '"source": "newcomer"'))
    monkeypatch.setattr(platforms, "__path__", [*platforms.__path__, str(tmp_path)])
    assert "newcomer" in platforms.names()
    Conformance(tmp_path / "fixtures", standard_webhooks, signs_a_time=True).conforms()
