"""The judge: which requests failed, and by which event; what is left is Shunt's fault.

It knows what was done (troubles), what the daemon said (its log), and where each request went, for
every connection has a source port of its own and is watched where it arrives. So a failure is not
explained by somebody's trouble at about that time, but by the trouble of the host that got it, as
long as the daemon had not noticed; and when it has noticed, no new connection may go there at all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shunt.dispatcher.events import WORDS, Kind
from tests.dispatcher.storm.plan import What

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

INTERVAL, CONNECT, RECEIVE = 0.2, 0.3, 0.3  # seconds: the advisor's settings
NOISE = 1.0  # seconds that a crowded machine may lose anywhere
# A check is due within the interval, and is lost when both its time-outs are over.
NOTICED = INTERVAL + CONNECT + RECEIVE + NOISE
# A claim is answered at once, or a tenth of a second after the last answer.
MISLED = 0.1 + NOISE / 2
# From the word "server down" to the last change of slots that it may have brought about.
SETTLED = 0.5
# From the dispatcher's wire to the server's.
ON_ITS_WAY = 0.05

DOWN, UP, ALERT, CLEAR = (
    WORDS[kind]
    for kind in (Kind.SERVER_DOWN, Kind.SERVER_UP, Kind.MANAGER_ALERT, Kind.MANAGER_CLEAR)
)
MOVED, READY, KEPT = "slots changed hands", "ready", "kept though failing"


@dataclass(frozen=True, slots=True)
class Spell:
    """A time in which something held, seconds since the epoch, both ends included."""

    begin: float
    end: float

    def has(self, at: float) -> bool:
        return self.begin <= at <= self.end


@dataclass(frozen=True, slots=True)
class Trouble:
    """What was done, to whom, and when it was put right again."""

    host: str
    what: What
    spell: Spell


@dataclass(frozen=True, slots=True)
class Request:
    """One request; `port` is its source port, `answer` names the server, empty: it failed."""

    port: int
    spell: Spell
    answer: str
    words: str = ""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame of a request where it arrived; `direct`: the dispatcher has not sent it on."""

    host: str
    at: float
    opens: bool
    direct: bool


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the daemons' logs."""

    at: float
    event: str
    facts: Mapping[str, Any]


@dataclass
class Course:
    """What was done, said and seen."""

    service: str
    servers: Sequence[str] = ()
    troubles: Sequence[Trouble] = ()
    lines: Sequence[Line] = ()
    requests: Sequence[Request] = ()
    arrivals: Mapping[int, Sequence[Arrival]] = field(default_factory=dict)


@dataclass
class Judgement:
    """What came of a storm.

    Attributes:
        faults: what nothing explains, with when it was.
        causes: how many failed requests have which cause.
        noticed: seconds from a trouble's begin, or the daemon's return, to the daemon's word.
        asked: how many requests there were.
        done: how many troubles of each kind.
    """

    faults: list[tuple[float, str]]
    causes: Counter[str]
    noticed: list[float]
    asked: int
    done: Counter[str]

    def words(self) -> str:
        """Return it for people."""
        noticed = sorted(self.noticed)
        delays = (
            f"noticed {len(noticed)} times, after {noticed[len(noticed) // 2]:.2f} s in the middle "
            f"and {noticed[-1]:.2f} s at most"
            if noticed
            else "none was noticed"
        )
        return (
            f"{self.asked} requests, {self.causes.total()} failed: {dict(self.causes)}; "
            f"troubles: {dict(self.done)}; {delays}; {len(self.faults)} faults"
        )


def judge(course: Course) -> Judgement:
    """Explain every failed request, and look for what must never be."""
    return _Judge(course).judge()


class _Judge:
    def __init__(self, course: Course) -> None:
        self.course = course
        told = read(course.lines, course.service)
        self.out, self.downs, self.alerts = told.spells, told.downs, told.alerts
        self.away = [t.spell for t in course.troubles if t.what is What.DAEMON]
        self.misled = [self._misleading(t) for t in course.troubles if t.what is What.CLAIM]
        self.of_servers = [
            t for t in course.troubles if t.what not in (What.DAEMON, What.CLAIM)
        ]  # fmt: skip

    def judge(self) -> Judgement:
        faults: list[tuple[float, str]] = []
        causes: Counter[str] = Counter()
        for request in self.course.requests:
            arrivals = self.course.arrivals.get(request.port, ())
            faults += ((request.spell.begin, words) for words in self._misled(request, arrivals))
            if not request.answer:
                cause = self._cause(request, arrivals)
                causes[cause or "nothing"] += 1
                if not cause:
                    faults.append((request.spell.begin, f"unexplained: {request} {arrivals}"))
        noticed, late = self._noticed()
        late += self._despaired()
        done = Counter(str(trouble.what) for trouble in self.course.troubles)
        return Judgement(
            sorted(faults + late), causes, noticed, len(self.course.requests), done
        )  # fmt: skip

    def _misled(self, request: Request, arrivals: Sequence[Arrival]) -> Iterator[str]:
        """Yield where a request went and must not have gone, whatever came of it."""
        for arrival in arrivals[:1]:
            spells = self.out.get(arrival.host, ())
            if arrival.opens and not arrival.direct and any(s.has(arrival.at) for s in spells):
                yield f"a new connection to a server that is out: {request} {arrival}"
        for arrival in arrivals:
            if arrival.direct and not self._claimed(Spell(arrival.at, arrival.at)):
                yield f"past the dispatcher, and nobody claims its address: {request} {arrival}"
        last = next((a.host for a in reversed(arrivals) if a.opens), "nobody")
        if request.answer and request.answer != last:
            yield f"answered by another than got it: {request} {arrivals}"

    def _cause(self, request: Request, arrivals: Sequence[Arrival]) -> str:
        """Return the kind of trouble that explains a failure, nothing if none does."""
        opening = [arrival for arrival in arrivals if arrival.opens]
        if not opening:
            return ""
        last = opening[-1]
        for trouble in self.of_servers:
            met = trouble.host == last.host and trouble.spell.begin <= request.spell.end
            if met and last.at <= min(trouble.spell.end, self._limit(trouble, last.at)):
                return str(trouble.what)
        if any(arrival.direct for arrival in arrivals) and self._claimed(request.spell):
            return str(What.CLAIM)
        return ""

    def _limit(self, trouble: Trouble, at: float) -> float:
        """Return until when new connections may go to a server in trouble."""
        if any(spell.has(at) for spell in self.away):
            return at  # nobody is there to notice
        return self._watched_since(trouble.spell.begin, at) + NOTICED

    def _watched_since(self, begin: float, at: float) -> float:
        """Return since when the daemon that is there `at` a time could see what began before."""
        return max([begin, *(spell.end for spell in self.away if begin <= spell.end <= at)])

    def _misleading(self, claim: Trouble) -> Spell:
        """Return in which time a claim may have misled the client."""
        answered = claim.spell.begin
        for away in self.away:  # in the order of time; the next daemon announces at its start
            if claim.spell.begin <= away.end and away.begin <= answered + MISLED:
                answered = away.end
        return Spell(claim.spell.begin, answered + MISLED)

    def _claimed(self, spell: Spell) -> bool:
        """Return whether a claim may have misled the client in a spell."""
        return any(each.begin <= spell.end and spell.begin <= each.end for each in self.misled)

    def _noticed(self) -> tuple[list[float], list[tuple[float, str]]]:
        """Return after how long troubles were noticed, and those that were not, but should."""
        delays, late = [], []
        for trouble in self.of_servers:
            begin, end = trouble.spell.begin, trouble.spell.end
            since = self._watched_since(begin, end)
            said = [
                line.at
                for line in self.course.lines
                if line.event == DOWN
                and line.facts.get("server") == trouble.host
                and line.facts.get("service") == self.course.service
                and begin <= line.at <= end
            ]
            if said:
                delays.append(said[0] - self._watched_since(begin, said[0]))
            known = any(spell.has(begin) for spell in self.downs.get(trouble.host, ()))
            there = not any(spell.has(end) for spell in self.away)
            if there and not said and not known and end - since > NOTICED:
                late.append((begin, f"never noticed: {trouble}"))
        return delays, late

    def _despaired(self) -> Iterator[tuple[float, str]]:
        """Yield alerts that every server is down though one has been well for long enough."""
        ends = [request.spell.end for request in self.course.requests]
        for alert in self.alerts:
            over = min(alert.end, max(ends, default=alert.begin))
            for server in self.course.servers:
                troubled = [t.spell for t in self.of_servers if t.host == server]
                for spell in _between([*troubled, *self.away], alert.begin, over):
                    if spell.end - spell.begin > NOTICED:
                        yield spell.begin, f"an alert though {server} is well: {alert} {spell}"


def _between(spells: Sequence[Spell], begin: float, end: float) -> Iterator[Spell]:
    """Yield what lies between spells, within two times."""
    for spell in sorted(spells, key=lambda each: each.begin):
        if begin < spell.begin < end:
            yield Spell(begin, spell.begin)
        begin = max(begin, spell.end)
    if begin < end:
        yield Spell(begin, end)


def read(lines: Sequence[Line], service: str) -> _Reader:
    """Read the daemons' lines about a service."""
    reader = _Reader(service)
    for line in lines:
        reader.take(line)
    reader.end()
    return reader


class _Reader:
    """Reads the daemons' lines one after another.

    Attributes:
        spells: when each server was out by the daemons' words: no new connection may go there. It
            lasts from the change of slots that follows upon "server down" until "server up"; a
            daemon that ends changes nothing. While every server is down, none is out.
        downs: when each was down, from word to word, be it in service or not.
        alerts: when every server was down by their words.
    """

    def __init__(self, service: str) -> None:
        self.spells: defaultdict[str, list[Spell]] = defaultdict(list)
        self.downs: defaultdict[str, list[Spell]] = defaultdict(list)
        self.alerts: list[Spell] = []
        self.begun: dict[str, float] = {}  # by server: from when on no new connection may go there
        self._service = service
        self._failing: dict[str, float] = {}
        self._down: dict[str, float] = {}
        self._alert: float | None = None  # since when

    def take(self, line: Line) -> None:
        if line.event == MOVED:
            self._moved(line.at)
        elif line.event == READY:  # what was not done when the last daemon ended may never be
            self._failing = {n: at for n, at in self._failing.items() if n in self.begun}
        elif line.facts.get("service") == self._service:
            self._turned(line.event, line.facts.get("server", ""), line.at)

    def _moved(self, at: float) -> None:
        for name, since in self._failing.items():
            if at - since <= SETTLED and self._alert is None:
                self.begun[name] = at + ON_ITS_WAY

    def _turned(self, event: str, server: str, at: float) -> None:
        if event == DOWN:
            self._failing.setdefault(server, at)
            self._down.setdefault(server, at)
        elif event in (UP, KEPT):
            self._failing.pop(server, None)
            self.close(server, at)
            if event == UP and server in self._down:
                self.downs[server].append(Spell(self._down.pop(server), at))
        elif event == ALERT:
            self._alert = at if self._alert is None else self._alert
            for name in list(self.begun):
                self.close(name, at)
        elif event == CLEAR:
            self._clear(at)
            self._failing = dict.fromkeys(self._failing, at)  # out again as soon as that is done

    def _clear(self, at: float) -> None:
        if self._alert is not None:
            self.alerts.append(Spell(self._alert, at))
            self._alert = None

    def end(self) -> None:
        """Close what lasts still."""
        for server, since in self._down.items():
            self.downs[server].append(Spell(since, float("inf")))
        self._clear(float("inf"))
        for server in list(self.begun):
            self.close(server, float("inf"))

    def close(self, server: str, at: float) -> None:
        begin = self.begun.pop(server, None)
        if begin is not None and begin < at:
            self.spells[server].append(Spell(begin, at))
