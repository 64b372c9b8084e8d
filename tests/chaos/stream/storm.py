"""Carries out a deck of faults while events come, and measures how long each kill is felt."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.chaos.stream import windy
from tests.chaos.stream.arena import Arena
from tests.chaos.stream.crew import Crew, Slot
from tests.chaos.stream.order import Action
from tests.chaos.stream.reader import Lookout
from tests.chaos.stream.schedule import BOUNCES, KILLS, NETWORK, STALLS, STORE, Fault, Kind

TICK_S = 0.005
LIMIT_S = 240
"""For one fault to be carried out, or one service to come back, on a machine that is busy with other tests."""
CALM_S = 12
"""A kill is felt undisturbed where nothing else was done for so long before: a session, and a transaction."""


@dataclass
class Kill:
    """One SIGKILL, and until when it was felt."""

    at: float
    """Seconds since 1970."""
    began: float
    """The same on the clock that never goes back."""
    is_restarted: bool
    is_undisturbed: bool
    felt_s: float | None = None
    """Until an outcome of every input partition was seen again."""


class Storm:
    """Faults, one after the other; some go on beside the next."""

    def __init__(self, arena: Arena, crew: Crew, lookout: Lookout) -> None:
        """Take what is harmed, and who looks at the outputs."""
        self._arena, self._crew, self._lookout = arena, crew, lookout
        self._later: list[tuple[float, Callable[[], object]]] = []
        self._busy: dict[str, threading.Thread] = {}
        self._last_other = float("-inf")
        """When something else than a kill with a restart was done, or ended."""
        self.done: Counter[Kind] = Counter()
        self.missed: Counter[Kind] = Counter()
        """Faults that nobody was there for."""
        self.kills: list[Kill] = []

    @property
    def killed(self) -> int:
        """How many workers ended by SIGKILL."""
        return self._crew.codes[-signal.SIGKILL]

    def tick(self) -> None:
        """Let time pass: workers come back, faults end, outcomes are seen."""
        self._crew.tick()
        now = time.monotonic()
        for at, is_restarted in self._crew.killed_at:
            self.kills.append(Kill(at, now, is_restarted, now - self._last_other > CALM_S))
            if not is_restarted:
                self._last_other = now
        self._crew.killed_at.clear()
        for due in [one for one in self._later if one[0] <= now]:
            self._later.remove(due)
            due[1]()
            self._last_other = now
        if self._later or any(thread.is_alive() for thread in self._busy.values()):
            self._last_other = now
        self._measure()
        time.sleep(TICK_S)

    def wait(self, seconds: float) -> None:
        """Let so much time pass."""
        self.until(lambda: False, seconds)

    def until(self, holds: Callable[[], bool], limit_s: float = LIMIT_S) -> bool:
        """Let time pass until something holds; tell whether it came to that within the limit."""
        end = time.monotonic() + limit_s
        while not holds():
            if time.monotonic() > end:
                return False
            self.tick()
        return True

    def carry_out(self, fault: Fault) -> None:
        """Do one thing, and return once it was begun."""
        self.wait(fault.after_s)
        kind = fault.kind
        if kind in KILLS or kind in STALLS or kind is Kind.TERM:
            done = self._harm_worker(fault)
        else:
            self._last_other = time.monotonic()
            self._harm_other(fault)
            done = True
        (self.done if done else self.missed)[kind] += 1

    def end(self) -> None:
        """Return when nothing is under way any more, and every kill was felt to its end."""
        self.until(lambda: not self._later and not any(thread.is_alive() for thread in self._busy.values()))
        self.until(lambda: all(kill.felt_s is not None for kill in self.kills), LIMIT_S)

    # --- Workers ------------------------------------------------------------------------------------------------------

    def _harm_worker(self, fault: Fault) -> bool:
        if not self.until(lambda: bool(self._crew.ready())):
            return False
        ready = self._crew.ready()
        slot = ready[fault.slot % len(ready)]
        if fault.kind is Kind.KILL:
            self._crew.signal(slot, signal.SIGKILL)
            return self._ends(slot)
        if fault.kind is Kind.TERM:
            self._last_other = time.monotonic()
            self._crew.signal(slot, signal.SIGTERM)
            return True
        if fault.kind in STALLS:
            self._last_other = time.monotonic()
            self._crew.order(slot, Action.STALL if fault.kind is Kind.STALL else Action.STALL_ALONE, fault.step)
            self._at(10, lambda: None)  # while it stands still, nothing is undisturbed
            return True
        away_s = 11 + 2 * fault.strength if fault.kind is Kind.KILL_AWAY else 0.0
        self._crew.order(slot, Action.KILL, fault.step, away_s)
        return self._ends(slot)

    def _ends(self, slot: Slot) -> bool:
        pid = slot.pid
        return self.until(lambda: slot.pid != pid, 20)

    # --- Everything else ----------------------------------------------------------------------------------------------

    def _harm_other(self, fault: Fault) -> None:
        kind, strength, arena = fault.kind, fault.strength, self._arena
        if kind is Kind.SCALE:
            self._crew.want("extra")
            self._at(4 + 8 * strength, lambda: self._crew.dismiss("extra"))
        elif kind in BOUNCES:
            self._beside("broker", lambda: bounce(arena, kind, strength))
        elif kind in NETWORK:
            self._network(fault)
        elif kind in STORE:
            self._beside("store", lambda: harm_store(arena, kind, strength))

    def _network(self, fault: Fault) -> None:
        proxy = self._arena.broker_proxy
        if fault.kind is Kind.NET_CUT:
            proxy.cut()
            return
        if fault.kind is Kind.NET_DELAY:
            proxy.delay_s = 0.02 + 0.3 * fault.strength
        else:
            proxy.swallow()
        self._at(1 + 6 * fault.strength, proxy.heal)

    def _at(self, after_s: float, what: Callable[[], object]) -> None:
        self._later.append((time.monotonic() + after_s, what))

    def _beside(self, name: str, what: Callable[[], object]) -> None:
        """Run what takes its time beside the loop, one of a name at a time; kills go on meanwhile."""
        before = self._busy.get(name)
        if before is not None:
            assert self.until(lambda: not before.is_alive()), f"{name} does not come back"
        self._busy[name] = threading.Thread(target=what, name=name, daemon=True)
        self._busy[name].start()

    def _measure(self) -> None:
        for kill in self.kills[-20:]:
            if kill.felt_s is not None:
                continue
            if kill.is_restarted and self._last_other > kill.began:
                kill.is_undisturbed = False
            # By when it was written: what the dead worker had committed may be seen after its end, too.
            if min(self._lookout.written_ms) > kill.at * 1000:
                kill.felt_s = time.time() - kill.at


def bounce(arena: Arena, kind: Kind, strength: float) -> None:
    """End the broker, leave it away for a while, and start it again."""
    if kind is Kind.BOUNCE_KILL:
        arena.broker.kill()
    else:
        arena.broker.stop()
    time.sleep(2 * strength)
    arena.broker.start()


def harm_store(arena: Arena, kind: Kind, strength: float) -> None:
    """Freeze the store, let its answers drip, or restart it; it is whole when this returns."""
    if kind is Kind.STORE_RESTART:
        arena.store.kill()
        time.sleep(2 * strength)
        arena.store.start()
        windy.fill_store(arena.store.program.port)
        return
    if kind is Kind.STORE_FREEZE:
        arena.store.pause()
    else:
        arena.store_proxy.drip_s = 0.01
    time.sleep(1 + 4 * strength)
    arena.store.resume()
    arena.store_proxy.drip_s = 0.0
