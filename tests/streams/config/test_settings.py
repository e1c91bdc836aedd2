"""Every setting has a default; what is mistyped or contradicts is named."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from npsflow.schemas.errors import SettingsError
from npsflow.schemas.times import DAY
from npsflow.streams.config.settings import Settings, load, parse
from npsflow.streams.engine.installation import Installation, read_installation

SEALED = "[sealing]\nenabled = true\nattributes = ['nick']\n"
DEFAULTS = """
horizon_days = 35
ces_seven_is_hard = false
idle_ticks = true
history_days = 400
watch = []
scales = []
aliases = {}
[segments]
dimensions = ["survey_id", "survey_kind", "channel", "journey_stage", "department", "product", "tier"]
pairs = []
max_values = 1000
[windows]
lengths = ["1h", "24h", "7d", "30d"]
sufficient = 30
[watching]
false_alarms_per_month = 1.0
[alerts]
metrics = ["nps", "csat", "csat_overall", "ces"]
private_fields = false
[follow_ups]
enabled = true
promoters = [{action = "referral", when = {}}]
[dead_letters]
pause = false
[sealing]
enabled = false
attributes = []
[recovery]
zone = "UTC"
clock = "wall"
drop_from_promoter = "high"
severity = []
default_owner = "service-recovery"
owners = []
first_contact_hours = 24.0
first_contact = []
warn_at = 0.75
root_causes = []
escalations = []
finish_days = 7.0
cooldown_hours = 24.0
burst_alerts = 0
burst_minutes = 60
ask_every_days = 90.0
keep_days = 90.0
remember_days = 400.0
questions = {}
thanks = {}
[recovery.business]
days = ["mon", "tue", "wed", "thu", "fri"]
opens = "09:00"
closes = "17:00"
country = ""
region = ""
closed = []
open = []
[topics]
partitions = 4
pane_partitions = 2
replication = 0
config = {}
tombstones_delete = false
[intake]
[notify]
"""
OTHERS = """
horizon_days = 90
ces_seven_is_hard = true
idle_ticks = false
history_days = 30
[[scales]]
metric = "nps"
min = 0
max = 100
worst = [0]
middle = [1]
[aliases]
channel = {"e-mail" = "email"}
[segments]
dimensions = ["channel", "attributes.plan"]
pairs = [["channel", "attributes.plan"]]
max_values = 5
[windows]
lengths = ["90d"]
sufficient = 5
[[watch]]
name = "calls"
metric = "csat"
kind = "target"
segment = {channel = "call"}
target = 70.0
scale = "1-5"
[watching]
false_alarms_per_month = 0.5
[alerts]
metrics = ["nps"]
private_fields = true
[follow_ups]
enabled = false
promoters = [{action = "review", when = {tier = "plus"}}]
[dead_letters]
pause = true
[sealing]
enabled = false
attributes = ["birthday"]
[recovery]
zone = "Europe/Amsterdam"
clock = "business"
drop_from_promoter = "off"
severity = [{name = "law", at_least = "critical", when = {tier = "plus"}, min_value = 5.0, words = ["law"]}]
default_owner = "anna"
owners = [{owner = "ben", when = {department = "IT", severity = "high"}}]
first_contact_hours = 8.0
first_contact = [{hours = 2.0, when = {"attributes.plan" = "gold"}}]
warn_at = 0.5
root_causes = ["late delivery"]
escalations = [{to = "lead", at = 1.5}]
finish_days = 3.0
cooldown_hours = 1.0
burst_alerts = 20
burst_minutes = 30
ask_every_days = 30.0
keep_days = 10.0
remember_days = 20.0
questions = {de = "Warum?"}
thanks = {de = "Danke."}
[recovery.business]
days = ["sat"]
opens = "10:00"
closes = "16:00"
country = "NL"
region = "Zuid"
closed = ["2026-12-24"]
open = ["2026-04-03"]
[topics]
partitions = 8
pane_partitions = 1
replication = 3
config = { "segment.ms" = "broker" }
tombstones_delete = true
[intake.kiosk]
platform = "generic"
source = "kiosk"
no_answer = ["-99"]
survey_id = "exit"
forms = ["a"]
comment = ["text"]
fields = {"customer.id" = "number"}
values = {"attributes.floor" = 2}
drivers = {queue = "waiting"}
columns = {Desk = "a.desk", "Filled in" = "submitted_at"}
only = {event = ["answered", "gone"], finished = true}
deleted = {event = "gone"}
test = {tags = ["preview"]}
each = "all"
zone = "Europe/Amsterdam"
time_of_arrival = true
verification = "signature"
header = "X-Token"
parameter = "key"
events = {offered = "asked", answered = "told"}
api = "https://api.example.com/v3"
api_per_minute = 60
[[intake.kiosk.scores]]
question = "face"
metric = "csat"
scale = {min = 1, max = 5}
words = {sad = 1}
leading_number = true
add = 1
reverse = true
[intake.kiosk.signature]
header = "X-Signature"
digest = "sha512"
encoding = "base64"
prefix = "sha512="
signed = "{id}.{timestamp}.{url}.{body}"
timestamp = "X-Time"
tolerance = 60
id = "X-Id"
url = "https://example.com/in/kiosk"
[intake.kiosk.paths]
response_id = "id"
submitted_at = "at"
updated_at = "changed"
deleted = "gone"
form = "form"
invitation_id = "asked.id"
sent_at = "asked.at"
[notify.desk]
kind = "slack"
to = {"*" = "C1"}
events = ["opened", "enriched"]
at_least = "high"
departments = ["IT"]
cases = ["ask"]
language = "nl"
texts = {opened = "{score}", digest = "{new}"}
zone = "Europe/Amsterdam"
settle_seconds = 30.0
digest = "08:30"
per_second = 2.0
private = ["comment"]
first_hours = 1.0
options = {api = "https://slack-gov.com/api/"}
"""


def test_no_file_is_the_same_as_every_key_with_its_default() -> None:
    assert parse(DEFAULTS) == parse("") == Settings()
    assert msgspec.to_builtins(Settings()) == tomllib.loads(DEFAULTS)


def test_every_key_can_be_set() -> None:
    assert msgspec.json.encode(parse(OTHERS), order="sorted") == msgspec.json.encode(
        tomllib.loads(OTHERS), order="sorted"
    )
    same = {key for key, value in tomllib.loads(OTHERS).items() if value == tomllib.loads(DEFAULTS)[key]}
    assert not same


def test_what_the_stages_get_of_it() -> None:
    classify, rollup = parse(OTHERS).classify_settings("npsflow/t.", 3), parse(OTHERS).window_settings("npsflow/t.")
    assert (classify.horizon, classify.pane_partitions, classify.event_source) == (90 * DAY, 3, "npsflow/t.")
    assert (classify.dimensions, classify.pairs) == (("channel", "attributes.plan"), (("channel", "attributes.plan"),))
    assert classify.promoter_rules[0].when == (("tier", "plus"),)
    assert (classify.alert_metrics, classify.private_fields, classify.follow_ups) == (frozenset({"nps"}), True, False)
    assert classify.scales.named("nps", "0-100") is not None
    assert classify.scales.defaults["ces"].worst_score == 7
    assert ([spec.name for spec in rollup.windows], rollup.max_values, rollup.sufficient) == (["90d"], 5, 5)
    assert rollup.event_source == "npsflow/t."


SIGNED = "[intake.x]\nplatform = 'generic'\nverification = 'signature'\n[intake.x.signature]\nheader = 'X-S'\n"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("horizon = 35", "horizon"),
        ("[segment]", "segment"),
        ("[segments]\ndimension = []", "dimension"),
        ("[windows]\nlenghts = []", "lenghts"),
        ("[alerts]\nmetric = []", "metric"),
        ("[follow_ups]\nenable = false", "enable"),
        ("[[follow_ups.promoters]]\naction = 'review'\nif = {}", "if"),
        ("[dead_letters]\nstop = true", "stop"),
        ("[topics]\npartition = 4", "partition"),
        ("[intake.x]\nplatform = 'generic'\nform = 'a'", "form"),
        ("[intake.x]\nplatform = 'generic'\nfields = {score = 'a'}", "score"),
        ("[intake.x]\nplatform = 'generic'\nvalues = {'customer.age' = 3}", "customer.age"),
        ("[intake.'a/b']\nplatform = 'generic'", "a-z"),
        ("[intake.customers]\nplatform = 'generic'", "NPSFLOW_SECRET"),
        ("[intake.board]\nplatform = 'generic'", "NPSFLOW_SECRET"),
        ("[intake.keys]\nplatform = 'generic'", "NPSFLOW_SECRET"),
        ("[intake.notify-desk]\nplatform = 'generic'", "NPSFLOW_SECRET"),
        ("[intake.x]\nplatform = 'generic'\nsource = 'a/b'", "slash"),
        ("[intake.x]\nplatform = 'generic'\napi = 'http://api.example.com'", "https"),
        ("[intake.x]\nplatform = 'generic'\napi = 'https://api.example.com@evil.example'", "https"),
        ("[intake.x]\nplatform = 'generic'\napi_per_minute = -1", "below 0"),
        ("[intake.x]\nplatform = 'generic'\nzone = 'CET+1'", "zone: 'CET+1'"),
        ("[intake.x]\nplatform = 'generic'\nverification = 'signature'", "without the other"),
        ("[intake.x]\nplatform = 'generic'\nverification = 'basic'\nsignature = {header = 'X-S'}", "without the other"),
        ("[intake.x]\nplatform = 'tally'\nsecret = 'x'", "secrets stand in the environment, as NPSFLOW_SECRET_NAME"),
        (SIGNED + "prefix = 'v0='\nsigned = 'v0:{time}:{body}'", "signed: {time} is none of"),
        (SIGNED + "signed = '{timestamp}'\ntimestamp = 'X-T'", "without {body}"),
        (SIGNED + "signed = '{timestamp}{body}'", "timestamp has to be there"),
        (SIGNED + "timestamp = 'X-T'", "timestamp has to be there"),
        (SIGNED + "signed = '{url}{body}'", "url has to be there"),
        (SIGNED + "signed = '{id}{body}'\nid = 'X Id'", "'X Id' is not the name of a header"),
        (SIGNED + "tolerance = 0", "tolerance is not above 0"),
        (SIGNED + "digest = 'md5'", "digest"),
        ("[intake.x]\nplatform = 'generic'\ncomment = ['a[k=']", "comment: 'a[k=' is no path: position 2"),
        (
            "[intake.x]\nplatform = 'generic'\nfields = {language = ['l', 'a|jsn']}",
            "fields.language: 'a|jsn' is no path",
        ),
        ("[intake.x]\nplatform = 'generic'\nfields = {language = []}", "fields.language names no path"),
        ("[intake.x]\nplatform = 'generic'\npaths.form = 'a.\"b'", "paths.form"),
        (
            "[intake.x]\nplatform = 'generic'\n[[intake.x.scores]]\nquestion = 'a'\nmetric = 'nps'\n"
            "words = {Good = 5, ' good ' = 4}",
            "' good ' is there twice",
        ),
        (
            "[intake.x]\nplatform = 'generic'\n[[intake.x.scores]]\nquestion = 'a.b'\nmetric = 'nps'\n"
            "[[intake.x.scores]]\nquestion = 'c.b'\nmetric = 'nps'",
            "twice",
        ),
        ("[[scales]]\nmetric = 'nps'\nmin = 0\nmax = 5\nworst = []\nbest = []", "best"),
        ("[[scales]]\nmetric = 'nps'\nmin = 0\nmax = 5", "worst"),
        ("horizon_days = '35'", "horizon_days"),
        ("horizon_days = true", "horizon_days"),
        ("idle_ticks = 1", "idle_ticks"),
        ("[alerts]\nmetrics = ['nsp']", "nsp"),
        ("[[follow_ups.promoters]]\naction = 'call'", "call"),
        ("horizon_days = 29", "30d"),
        ("[windows]\nlengths = ['36d']", "36d"),
        ("[windows]\nlengths = ['1w']", "1w"),
        ("[windows]\nlengths = ['1h', '1h']", "windows.lengths"),
        ("[segments]\ndimensions = ['chanel']", "chanel"),
        ("[segments]\ndimensions = ['channel', 'channel']", "segments.dimensions"),
        ("[segments]\npairs = [['channel', 'team']]", "team"),
        ("[segments]\npairs = [['channel']]", "pairs"),
        ("[aliases.chanel]\na = 'b'", "chanel"),
        ("[[scales]]\nmetric = 'nps'\nmin = 5\nmax = 5\nworst = []", "5-5"),
        ("[[scales]]\nmetric = 'nps'\nmin = -1\nmax = 5\nworst = []", "-1-5"),
        ("[[scales]]\nmetric = 'nps'\nmin = 0\nmax = 1001\nworst = []", "0-1001"),
        ("[[scales]]\nmetric = 'nps'\nmin = 0\nmax = 5\nworst = [6]", "0-5"),
        ("[topics]\npartitions = 0", "topics"),
        ("horizon_days = 0\n[windows]\nlengths = []", "horizon_days"),
        (f"[segments]\ndimensions = {[f'attributes.{n}' for n in range(127)]}", "126"),
        ("horizon_days = = 3", "line 1"),
    ],
)
def test_a_mistake_is_named(text: str, named: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse(text)
    assert named in str(error.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[[follow_ups.promoters]]\naction = 'review'\nwhen = {chanel = 'chat'}", "chanel"),
        ("[segments]\npairs = [['channel', 'tier'], ['channel', 'tier']]", "tier"),
        ("[segments]\npairs = [['channel', 'tier'], ['tier', 'channel']]", "tier"),
        ("[segments]\npairs = [['tier', 'tier']]", "tier"),
        ("[segments]\ndimensions = ['attributes.']", "attributes."),
        ("[[scales]]\nmetric = 'nps'\nmin = 0\nmax = 10\nworst = [0]", "0-10"),
        (2 * "[[scales]]\nmetric = 'nps'\nmin = 0\nmax = 5\nworst = [0]\n", "0-5"),
        ("[[scales]]\nmetric = 'nps'\nmin = 0\nmax = 5\nworst = [0]\nmiddle = [0]", "0-5"),
        (f"{SEALED}[segments]\ndimensions = ['attributes.nick']", "segments looks into 'attributes.nick'"),
        (f"{SEALED}[aliases.'attributes.nick']\na = 'b'", "segments looks into 'attributes.nick'"),
        (
            f"{SEALED}[[follow_ups.promoters]]\naction = 'review'\nwhen = {{comment = 'x'}}",
            "follow_ups.promoters looks",
        ),
        (f"{SEALED}[[recovery.severity]]\nname = 'x'\nat_least = 'high'\nwords = ['x']", "recovery.severity: words"),
        (f"{SEALED}[[recovery.owners]]\nowner = 'x'\nwhen = {{email = 'x'}}", "recovery.owners looks into 'email'"),
        ("[topics.config]\n'retention.ms' = '1'", "topics.config has 'retention.ms': only delete.retention.ms, "),
        ("[topics.config]\n'segment.ms' = ''", "topics.config: 'segment.ms' is empty"),
        ("[segments]\nmax_values = 0", "max_values"),
        ("[windows]\nsufficient = 0", "sufficient"),
        ("horizon_days = 100000000", "horizon_days"),
    ],
)
def test_a_contradiction_is_named(text: str, named: str) -> None:
    test_a_mistake_is_named(text, named)


# Where


def test_where_it_runs_comes_from_the_environment() -> None:
    assert read_installation({"HOME": "/"}) == Installation()
    given = {"NPSFLOW_BROKERS": "a:1,b:2", "NPSFLOW_PREFIX": "t.", "NPSFLOW_SESSION_MS": "3000"}
    assert read_installation(given | {"NPSFLOW_CONFIG": "x", "NPSFLOW_LOG_LEVEL": "DEBUG"}) == Installation(
        "a:1,b:2", "t.", 3000
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("horizon_day = 36", "there is no key 'horizon_day'; did you mean 'horizon_days'?"),
        ("xyzzy = 1", "there is no key 'xyzzy'; known: horizon_days, ces_seven_is_hard, "),
        ("horizon_days = 'long'", "horizon_days: Expected `int`, got `str`"),
        ("topics.partition = 3", "topics: there is no key 'partition'; did you mean 'partitions'?"),
        (
            "recovery.severity = [{name = 'x', at_least = 'worst'}]",
            "recovery.severity[0].at_least: Invalid enum value ",
        ),
        ("recovery.business.days = ['monday']", "recovery.business.days[0]: Invalid enum value 'monday'; known: fri, "),
        ("segments.pairs = [['channel', 1]]", "segments.pairs[0][1]: Expected `str`, got `int`"),
        ("notify.desk.events = ['open']", "notify.desk.events[0]: Invalid enum value 'open'; known: acknowledged, "),
        ("[intake.a]\nplatform = 'generic'\npaths.id = ''", "intake.a.paths: there is no key 'id'; known: resp"),
        (
            "[intake.a]\nplatform = 'x'\nevents.off = ''",
            "intake.a.events: Invalid enum value 'off'; known: answered",
        ),
        ("[intake.a]", "intake.a: the key 'platform' is missing"),
        ("[intake.a]\nplatform = 'x'\n[intake.b-2]", "intake.b-2: the key 'platform' is missing"),
        ("notify.a.to = {}\nnotify.b.to = 'x'", "notify.b.to: Expected `object`, got `str`"),
        (
            "[intake.a]\nplatform = 'x'\n[intake.b]\nplatform = 'x'\ndrivers = { speed = 'x', staff = 5 }",
            "intake.b.drivers.staff: Expected `str`, got `int`",
        ),
        (
            "[[recovery.owners]]\nowner = 'x'\n[[recovery.owners]]\nowner = 'y'\nwhen = { team = 'a', tier = 5 }",
            "recovery.owners[1].when.tier: Expected `str`, got `int`",
        ),
        ("horizon_days = 3651", "horizon_days = 3651 is not between 1 and 3,650"),
        ("topics.replication = 101", "topics.replication = 101 is not between 0 and 100"),
        ("windows.sufficient = 1_000_001", "windows.sufficient = 1000001 is not between 1 and 1,000,000"),
        ("recovery.warn_at = 0.0", "recovery.warn_at = 0 is not between 0 and 1"),
        ("recovery.warn_at = 75", "recovery.warn_at = 75 is not between 0 and 1"),
        ("horizon_days = 0", "horizon_days = 0 is not between 1 and 3,650"),
        ("recovery.cooldown_hours = -0.5", "recovery.cooldown_hours = -0.5 is not between 0 and 10,000"),
        ("recovery.keep_days = nan", "recovery.keep_days = nan is not between 0 and 10,000"),
        (
            "recovery.escalations = [{to = 'a'}, {to = 'b', at = 0}]",
            "recovery.escalations[1].at = 0 is not between 0 and 10",
        ),
        (
            "[notify]\nslack.per_second = 1\nconsole = {}\ndesk.per_second = 0",
            "notify.desk.per_second = 0 is not between 0.01 and 1,000",
        ),
    ],
)
def test_a_mistake_is_explained_with_its_key_and_what_may_stand_there(text: str, expected: str) -> None:
    with pytest.raises(SettingsError) as error:
        parse(text)

    assert str(error.value).startswith(expected)


def test_names_begin_with_the_prefix() -> None:
    here = Installation(prefix="t.")
    names = {here.topic("a"), here.group("b"), here.changelog("b", "state"), here.changelog("b", "remembered")}
    names |= {here.transactional_id("b", 0), here.transactional_id("b", 1)}
    assert len(names) == 6
    assert all(name.startswith("t.") for name in names)


@pytest.mark.parametrize("name", ["NPSFLOW_BROKER", "NPSFLOW_PREFX", "NPSFLOW_"])
def test_a_typo_in_the_environment_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is not .*NPSFLOW_BROKERS"):
        read_installation({name: "x"})


def test_a_session_that_is_no_number() -> None:
    with pytest.raises(SettingsError, match="NPSFLOW_SESSION_MS is 'soon', no whole number from 1000 to 3600000"):
        read_installation({"NPSFLOW_SESSION_MS": "soon"})


def test_a_compression_that_kafka_does_not_know() -> None:
    with pytest.raises(SettingsError, match="NPSFLOW_COMPRESSION is 'rar', none of zstd, lz4, snappy, gzip, none"):
        read_installation({"NPSFLOW_COMPRESSION": "rar"})


@pytest.mark.parametrize("prefix", ["we ird/", "a/b", "é.", "x" * 201, "a\n"])
def test_a_prefix_that_no_topic_may_have_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError, match="NPSFLOW_PREFIX is "):
        read_installation({"NPSFLOW_PREFIX": prefix})


def test_the_file_that_is_named_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load({}) == Settings()
    (tmp_path / "npsflow.toml").write_text("horizon_days = 36", "utf-8")
    assert load({}).horizon_days == 36
    other = tmp_path / "other.toml"
    environment: dict[str, Any] = {"NPSFLOW_CONFIG": str(other)}
    with pytest.raises(SettingsError, match=r"other\.toml, which does not exist"):
        load(environment)
    other.write_text("horizon_day = 37", "utf-8")
    with pytest.raises(SettingsError, match=r"other\.toml: .*horizon_day"):
        load(environment)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"[aliases.channel]\n'caf\xe9' = 'x'")
    for path in (tmp_path / "latin.toml", tmp_path):
        with pytest.raises(SettingsError, match=path.name):
            load({"NPSFLOW_CONFIG": str(path)})


WATCH = (
    '[segments]\ndimensions = ["channel", "tier"]\npairs = [["channel", "tier"]]\n[aliases.channel]\nmail = "E-Mail"\n'
)


def watch(more: str, name: str = "one") -> str:
    return f'[[watch]]\nname = "{name}"\nmetric = "nps"\n{more}\n'


@pytest.mark.parametrize(
    ("rules", "wrong"),
    [
        (watch('kind = "target"\ntarget = 150'), "watch 'one': target 150 is not between -100 and 100"),
        (watch('kind = "target"\ntarget = -100'), "target -100 is not between"),
        (watch('kind = "target"'), "watch 'one': the key 'target' is missing"),
        (watch('kind = "drop"\ntarget = 3'), "watch 'one': only kind target has a target"),
        (watch('kind = "drop"\nsegment = { region = "*" }'), "watch 'one': 'region' is not in segments.dimensions"),
        (
            watch('kind = "drop"\nsegment = { channel = " " }'),
            "watch 'one': the value of 'channel' is empty: say '*' for each",
        ),
        (watch('kind = "drop"\nscale = "1-9"'), "watch 'one': nps has no scale '1-9'"),
        (watch('kind = "drop"') + watch('kind = "drop"'), "watch names 'one' more than once"),
        (watch('kind = "fall"'), "Invalid enum value 'fall'; known: drop, target (line"),
        ("[watching]\nfalse_alarms_per_month = 0", "watching.false_alarms_per_month = 0 is not between 0.001 and 100"),
    ],
)
def test_a_rule_that_cannot_be_watched_is_one_sentence(rules: str, wrong: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse(WATCH + rules)
    assert wrong in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pair_that_is_not_counted_cannot_be_watched() -> None:
    rule = watch('kind = "drop"\nsegment = { channel = "*", tier = "a" }')
    assert parse(WATCH + rule).watch
    with pytest.raises(SettingsError, match=r"channel and tier are not counted together: name them in segments\.pairs"):
        parse(rule)


def test_values_of_a_rule_are_what_they_are_counted_as() -> None:
    rules = watch('kind = "target"\ntarget = 4.5\nsegment = { channel = " MAIL " }').replace("nps", "ces")
    rules += watch('kind = "drop"\nsegment = { channel = "*", tier = "Gold" }', "two")
    one, two = parse(WATCH + rules).window_settings("npsflow/").rules
    assert (one.segment, one.scale.name) == ({"channel": "e-mail"}, "1-7")
    assert two.segment == {"channel": None, "tier": "gold"}
    assert parse(WATCH + rules).classify_settings("npsflow/", 2).watched
    assert not parse(WATCH).classify_settings("npsflow/", 2).watched


def test_a_rule_may_watch_another_scale() -> None:
    scales = '[[scales]]\nmetric = "csat"\nmin = 1\nmax = 10\nworst = [1]\n'
    rules = watch('kind = "drop"\nscale = "1-10"').replace("nps", "csat")
    (rule,) = parse(scales + rules).window_settings("npsflow/").rules
    assert rule.scale.name == "1-10"
