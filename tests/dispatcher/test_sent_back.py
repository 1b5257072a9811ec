"""Which servers send requests back: told once, checked each time, and forgotten after a minute."""

from __future__ import annotations

from shunt.dispatcher.health_jobs import Key
from shunt.dispatcher.sent_back import LATELY, SentBackWatch

WEB, MAIL = Key("web", "a"), Key("mail", "a")
OTHER = Key("web", "b")


class Heard:
    """What a watch tells and has checked."""

    def __init__(self) -> None:
        self.told: list[tuple[Key, str]] = []
        self.checked: list[Key] = []
        self.watch = SentBackWatch(lambda *told: self.told.append(told), self.checked.append)

    def texts(self) -> list[str]:
        return [diagnosis.text for diagnosis in self.watch.diagnoses()]


def test_what_was_counted_before_is_no_news() -> None:
    heard = Heard()
    heard.watch.take({WEB: 1000}, 0)
    heard.watch.take({WEB: 1000}, 1)
    assert not heard.told
    assert not heard.checked
    assert not heard.texts()


def test_a_server_is_told_once_and_checked_each_time() -> None:
    heard = Heard()
    heard.watch.take({}, 0)
    heard.watch.take({WEB: 3}, 1)
    heard.watch.take({WEB: 3, OTHER: 1}, 2)
    heard.watch.take({WEB: 1203, OTHER: 1}, 3)
    assert [key for key, _ in heard.told] == [WEB, OTHER]
    assert "3 packets came back from a" in heard.told[0][1]
    assert heard.checked == [WEB, OTHER, WEB]
    assert [text.split(":")[0] for text in heard.texts()] == [
        "server a sends requests back (1,203 packets in the last minute, dropped)",
        "server b sends requests back (1 packets in the last minute, dropped)",
    ]


def test_the_services_of_one_server_are_one_diagnosis() -> None:
    heard = Heard()
    heard.watch.take({}, 0)
    heard.watch.take({WEB: 3, MAIL: 4}, 1)
    (found,) = heard.watch.diagnoses()
    assert (found.servers, found.services) == (("a",), ("web", "mail"))
    assert "7 packets" in found.text


def test_after_a_quiet_minute_it_is_over_and_the_next_is_news() -> None:
    heard = Heard()
    heard.watch.take({}, 0)
    heard.watch.take({WEB: 3}, 1)
    heard.watch.take({WEB: 3}, 2 + LATELY)
    assert not heard.texts()
    heard.watch.take({WEB: 4}, 3 + LATELY)
    assert [key for key, _ in heard.told] == [WEB, WEB]
    assert len(heard.texts()) == 1


def test_counters_that_begin_anew_are_no_growth() -> None:
    heard = Heard()
    heard.watch.take({WEB: 1000}, 0)
    heard.watch.take({WEB: 2}, 1)
    heard.watch.take({}, 2)
    assert not heard.told
