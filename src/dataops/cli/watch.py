"""The command that looks for what should have happened and did not."""

from __future__ import annotations

import typer

from dataops.cli.screen import Screen


def watch(ctx: typer.Context) -> int:
    """Look for what is late, for messages that nobody sends, for a full disk; open incidents and tell.

    Under Airflow the DAG `watchdog` does this. Ends with 1 when something is wrong, so that cron or a monitor outside
    the platform notices even where nothing can be told. Messages that wait too long are sent by it.

    Examples:  dataops watch  |  dataops watch || mail -s "the data platform needs you" operations@example.org
    """
    from dataops.cli.sending import channels
    from dataops.ledger.schema import writing
    from dataops.ledger.workspace import open_workspace
    from dataops.outlets.notify import relay
    from dataops.pipeline import watch as groups
    from dataops.pipeline import watch_platform as platform

    screen: Screen = ctx.obj
    work = open_workspace()
    with writing(work.warehouse) as connection:
        late = [groups.look_for_late(connection, group) for group in work.catalog.groups.values()]
        problems = platform.look(connection, work.warehouse)
    found = [f"a delivery is late; see: dataops incidents show {name}" for name in late if name] + problems
    if found:
        passed = relay.relay(work, channels(work))
        found += [*passed.unconfigured.values(), *passed.problems]
    for line in found:
        screen.line(line)
    if not found:
        screen.hint("nothing is late, nothing waits, there is room on the disk")
    return 1 if found else 0
