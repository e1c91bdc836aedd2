"""Everything that is wrong with a settings file is said at once, each with its key and line, and nothing else."""

from pathlib import Path

import pytest

from npsflow.schemas.errors import SettingsError
from npsflow.streams.config.settings import described, load, parse, settings_file

MANY = """\
horizon_days = 0
idle_tick = true
windows.lengths = ["1h", 7]

[recovery]
warn_at = 75
[[recovery.owners]]
when = { team = "a" }
[[recovery.owners]]
owner = "anna"
when = { tier = 5 }
[[recovery.owners]]
owner = 3
[notify.desk]
events = ["opened", "open", "shut"]
zone = 3
[segments]
dimensions = ["chanel", "shop"]
[intake.kiosk]
paths = { id = "" }
"""
ALL = [
    "there is no key 'idle_tick'; did you mean 'idle_ticks'? (line 2)",
    "horizon_days = 0 is not between 1 and 3,650 (line 1)",
    "windows.lengths[1]: Expected `str`, got `int` (line 3)",
    "recovery.warn_at = 75 is not between 0 and 1 (line 6)",
    "recovery.owners[0]: the key 'owner' is missing (line 7)",
    "recovery.owners[1].when.tier: Expected `str`, got `int` (line 11)",
    "recovery.owners[2].owner: Expected `str`, got `int` (line 13)",
    "notify.desk.events[1]: Invalid enum value 'open'; known: ",
    "notify.desk.events[2]: Invalid enum value 'shut'; known: ",
    "notify.desk.zone: Expected `str`, got `int` (line 16)",
    "'chanel' is not a field that can be a dimension",
    "'shop' is not a field that can be a dimension",
    "intake.kiosk.paths: there is no key 'id'; known: ",
    "intake.kiosk: the key 'platform' is missing (line 19)",
]


def mistakes(text: str) -> list[str]:
    with pytest.raises(SettingsError) as error:
        parse(text)
    return str(error.value).splitlines()


def test_all_mistakes_are_said_at_once() -> None:
    found = mistakes(MANY)

    assert [[line for line in found if line.startswith(expected)] for expected in ALL] == [
        [next(line for line in found if line.startswith(expected))] for expected in ALL
    ]
    assert len(found) == len(ALL)


def test_what_is_wrong_is_no_reason_for_a_second_mistake() -> None:
    """The default of 35 days is too short for the window, and what a rule lacks is what was wrong."""
    assert mistakes('horizon_days = "90"\nwindows.lengths = ["60d"]') == [
        "horizon_days: Expected `int`, got `str` (line 1)"
    ]
    assert mistakes("[[scales]]\nmetric = 'nps'\nmin = 'a'\nmax = 5\nworst = [0]") == [
        "scales[0].min: Expected `int`, got `str` (line 3)"
    ]


def test_contradictions_of_one_section_are_all_said() -> None:
    text = "[windows]\nlengths = ['1h', '1h', '1w', '90d']\n[notify.Desk]\nzone = 'Mars'\nlanguage = 'xx'"
    assert mistakes(text) == [
        "windows.lengths names '1h' more than once",
        "windows.lengths: '1w' is not a window: say 1h, 24h, 7d or 30d",
        "window 90d is longer than horizon_days = 35: raise that first",
        "notify.Desk: a name is made of a-z, 0-9 and -, and log, replay, try are taken",
        "notify.Desk: zone: 'Mars' is not a time zone, as Europe/Amsterdam is",
        "notify.Desk: language: there are en, nl",
    ]


@pytest.mark.parametrize("text", ["", "[recovery]\n", "horizon_days = 36"])
def test_what_is_right_is_not_reported(text: str) -> None:
    parse(text)


def test_a_mistake_of_the_whole_is_one_line() -> None:
    assert mistakes("windows = 3") == ["windows: Expected `object`, got `int` (line 1)"]
    assert mistakes("'recovery'.\"zone\" = 3 # [x]") == ["recovery.zone: Expected `str`, got `int` (line 1)"]


def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# caf\xe9")
    for path, why in (
        (tmp_path, " cannot be read: Is a directory"),
        (latin, " is not in UTF-8"),
        (tmp_path / "gone", ", which does not exist"),
        (tmp_path / ("x" * 300), " cannot be read: File name too long"),
        (latin / "in", " cannot be read: Not a directory"),
    ):
        with pytest.raises(SettingsError) as error:
            load({"NPSFLOW_CONFIG": str(path)})
        assert str(error.value).endswith(f"{path}{why}")


def test_where_settings_come_from_is_named_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert described(settings_file({})) == f"defaults, as there is no {tmp_path}/npsflow.toml"
    (tmp_path / "npsflow.toml").touch()
    assert described(settings_file({})) == f"{tmp_path}/npsflow.toml"
    assert described(settings_file({"NPSFLOW_CONFIG": "other.toml"})) == f"{tmp_path}/other.toml"
