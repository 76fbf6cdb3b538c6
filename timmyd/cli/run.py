"""`timmyd run`: the daemon in the foreground, or once over all that is there.

Nothing is imported that it does not need: it must be ready in a quarter of a second.
"""

import gc
from pathlib import Path

import msgspec

from timmyd import __version__
from timmyd.cli.output import print_json, say
from timmyd.cli.run_words import RunWords
from timmyd.cli.where import Context, context, must_be_there, places
from timmyd.config import Settings
from timmyd.engine import IntelligenceEngine
from timmyd.errors import StoreError
from timmyd.service.homes import Place
from timmyd.service.lock import StateLock
from timmyd.service.logs import EventLogger, configure
from timmyd.service.loop import Daemon
from timmyd.service.metrics import Metrics
from timmyd.service.outside import Outside
from timmyd.service.privilege import stranger, user_name
from timmyd.service.reckoning import Reckoning
from timmyd.service.systemd import Notifier
from timmyd.service.ticking import Summary
from timmyd.store.database import PatternDatabase

_MIGRATION_S = 60.0


def main(given: RunWords) -> int:
    """Run it; returns the exit status.

    Raises:
        TimmyError: It cannot run; the class says who must act.
    """
    found = context(given.config, given.state, stay_root=True)
    if (owner := stranger(found.state)) is not None:
        raise StoreError(
            str(found.state),
            f"it belongs to {user_name(owner.st_uid)}, and this is root",
            hint="systemctl start timmyd; or run it as that user",
        )
    where = places(found.settings, given.home, given.sessions)
    if given.home or given.sessions:  # sessions alone may come while a daemon waits for them
        must_be_there([place for place in where if place.is_home or given.once])
    notifier = Notifier()
    # what is said on the way to READY is written right after it, or with the first trouble
    log = configure(found.settings.log.level, found.settings.log.format, hold=not given.once)

    def reload() -> tuple[Settings, list[Place]]:
        again = context(given.config, given.state, stay_root=True)
        return again.settings, places(again.settings, given.home, given.sessions)

    with StateLock(found.state):
        database = _open(found, notifier, log)
        try:
            reckoning = Reckoning.begin(database, where)
            engine = IntelligenceEngine(database, settings=found.settings, clock=reckoning)
            if engine.learner.settled:
                log.event("learning_settled", detail=_settled(engine))
            daemon = Daemon(
                found.settings,
                where,
                state=found.state,
                engine=engine,
                outside=Outside(
                    log,
                    Metrics(__version__),
                    reckoning,
                    wall=reckoning.wall,
                    trust=reckoning.held,
                ),
                notifier=notifier,
                reload=reload,
                policy=None if given.policy is None else given.policy.absolute(),
            )
            # what was made up to here stays: the collector need not look at it again
            gc.freeze()
            gc.enable()
            if given.once:
                _show(daemon.once(), daemon.publisher.target, as_json=given.json)
                return 0
            return daemon.run()
        finally:
            log.release()
            database.close()


def _open(found: Context, notifier: Notifier, log: EventLogger) -> PatternDatabase:
    def migrating(version: int) -> None:
        notifier.extend_timeout(_MIGRATION_S)
        notifier.status(f"bringing the database to schema version {version}")
        log.event("store_migrated", version=version)
        if version > 1:  # one that is made from nothing is there at once
            log.release()

    try:
        return PatternDatabase(found.database, progress=migrating)
    except StoreError:
        log.release()
        raise


def _settled(engine: IntelligenceEngine) -> str:
    return "; ".join(
        f"{part} of form {form}: {fate}" for part, form, fate in engine.learner.settled
    )


def _show(summary: Summary, policy: Path, *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.structs.asdict(summary) | {"policy": str(policy)})
        return
    say(
        f"{summary.files} files read, {summary.executions} executions counted,"
        f" {summary.failed} files failed, {summary.ignored} ignored"
    )
    say(f"{summary.adaptations} adaptations; policy revision {summary.revision} in {policy}")
