"""What is at hand unpacked is what the changelog holds, whatever happens to cases of several alerts."""

from typing import Any

from npsflow.streams.recovery.settings import Recovery

from .recovering import World


def known(world: World) -> dict[str, Any]:
    """All that the task knows of cases and alerts, as it reads it."""
    state = world.state
    ids = [key.partition(b":")[::2] for key in world.recover.state]
    cases = {name.decode(): state.cases.get(name.decode()) for kind, name in ids if kind == b"case"}
    return cases | {name.decode(): state.alerts.get(name.decode()) for kind, name in ids if kind == b"alert"}


def test_what_is_read_is_the_same_after_a_restart() -> None:
    world = World(Recovery(burst_alerts=1, keep_days=2))

    def again() -> dict[str, Any]:
        before = known(world)
        world.restart()
        assert known(world) == before
        return before

    for number in range(5):
        world.respond(5, f"C-{number % 4}", f"r{number}", department="IT")
        again()
    world.now += 60_000
    bundle = next(case["case_id"] for case in world.cases if case["kind"] == "bundle")
    world.respond(3, "C-2", "r2", department="IT", comment="More")
    world.respond(9, "C-1", "r0", department="IT")
    assert len(again()[bundle].case.alert_ids) > 1
    world.act("resolve", "C-1", case_id=bundle, root_cause="late", comment="c")
    world.act("close_loop", "C-1", case_id=bundle)
    again()
    world.act("reopen", "C-1", case_id=bundle)
    world.delete("r2")
    again()
    for name in ("r1", "r3", "r4"):
        world.delete(name)
        again()
    assert next(case["status"] for case in world.cases if case["case_id"] == bundle) == "closed"
    world.wait(24 * 3)
    assert bundle not in again()
