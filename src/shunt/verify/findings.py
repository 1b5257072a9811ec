"""What a check found, and the named causes that it tells apart."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shunt.model.addresses import Address
    from shunt.verify.subject import Port


class Verdict(StrEnum):
    """How a check ended. A warning is not wrong yet, and what is accepted is known to somebody."""

    RIGHT = "right"
    WARNING = "warning"
    ACCEPTED = "accepted"
    WRONG = "wrong"
    UNKNOWN = "cannot tell"


class Check(StrEnum):
    """What was checked, in the procedure's order."""

    OWN = "own address"
    SILENCE = "silence"
    PING = "ping"
    PORT = "port"
    APPLICATION = "application"
    LEAKS = "leaks"
    FOREIGN = "foreign frames"
    AGAIN = "silence again"
    OTHERS = "others"
    DISPATCHER = "dispatcher"
    HEARD = "everything heard"
    VERIFIER = "nothing left behind"


class Cause(StrEnum):
    """Why a check did not simply end right; the names are stable, for programs."""

    OWN_SILENT = "own-address-silent"
    TWO_MACS = "two-macs"
    SAME_MAC = "same-mac"
    NO_CONTROL = "no-control"
    ANSWERS_ARP = "answers-arp"
    ANSWERS_ND = "answers-nd"
    ANSWERS_OTHER_NIC = "answers-on-other-nic"
    PUBLISHED = "published-entry"
    PING_FILTERED = "ping-filtered"
    ALIAS_MISSING = "alias-missing"
    WIDE_ALIAS = "wide-alias"
    REVERSE_PATH = "reverse-path"
    DROPS_ALL = "drops-everything"
    PORT_FILTERED = "port-filtered"
    PORT_REJECTED = "port-rejected"
    CANNOT_ASK = "cannot-ask-for-macs"
    BOUND_ELSEWHERE = "bound-elsewhere"
    NOT_LISTENING = "not-listening"
    UDP_SILENT = "udp-silent"
    REPLIES_ELSEWHERE = "replies-from-other-mac"
    APPLICATION_FAILS = "application-fails"
    ASKS_IN_ITS_NAME = "asks-in-its-name"
    ANNOUNCES = "announces-unasked"
    DID_NOT_ASK = "did-not-ask"
    FORWARDS = "forwards"
    ANSWERS_FOREIGN = "answers-foreign"
    STRANGER = "stranger-answers"
    STRANGER_PUBLISHES = "stranger-publishes"
    SPEAKS_FOR_ANOTHER = "speaks-for-another"
    CROWD = "claims-from-many"
    DISPATCHER_RUNS = "dispatcher-runs"
    SEVERAL_DISPATCHERS = "several-dispatchers"
    DISPATCHER_SILENT = "dispatcher-silent"
    DISPATCHER_LOSES = "dispatcher-does-not-forward"
    DISPATCHER_ACCEPTS = "dispatcher-accepts-itself"
    DISPATCHER_STRAYS = "dispatcher-forwards-elsewhere"
    DISPATCHER_UNPROVED = "dispatcher-not-proved"
    UNREADABLE = "unreadable-claim"
    FRAMES_LOST = "frames-lost"
    BORROWED_TAKEN = "borrowed-address-taken"
    NO_STACK = "no-stack"
    ADVISOR_UNASKED = "advisor-not-asked"
    NO_FREE_ADDRESS = "no-free-address"
    ONE_FREE_ADDRESS = "one-free-address"
    LEFT_BEHIND = "left-behind"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the report. `server` is empty where no server is meant.

    A cause beside RIGHT is worth knowing and does no harm.
    """

    check: Check
    server: str
    address: Address | None
    verdict: Verdict
    cause: Cause | None = None
    port: Port | None = None
    evidence: tuple[str, ...] = ()


_EXPLAINED: dict[Cause, tuple[str, str]] = {
    Cause.OWN_SILENT: (
        "nothing answers for the server's own address",
        (
            "The server is down or not on this segment, or its interface answers no ARP at "
            "all (arp_ignore=8, arp off). Silence for the cluster address proves nothing "
            "then."
        ),
    ),
    Cause.TWO_MACS: (
        "two MACs answer for the server's own address",
        (
            "Another machine has the same address, or a second interface of the server on "
            "this segment answers for the first. Frames then reach either of them by chance."
        ),
    ),
    Cause.SAME_MAC: (
        "two servers have one MAC",
        (
            "A dispatcher reaches servers by their MACs: one of the two gets the frames of "
            "both. Cloned virtual machines are the usual reason; or two names mean one "
            "machine."
        ),
    ),
    Cause.NO_CONTROL: (
        "the server's own address did not answer at that time",
        (
            "Without an answer for its own address, silence proves nothing, and without its MAC "
            "no frame can be sent."
        ),
    ),
    Cause.ANSWERS_ARP: (
        "the server answers ARP for the cluster address",
        (
            "Clients and routers then send to this server and past the dispatcher. Either the "
            "kernel answers for every address it holds (arp_ignore), or the address is on a "
            "network card."
        ),
    ),
    Cause.ANSWERS_ND: (
        "the server answers neighbour solicitations for the cluster address",
        (
            "Clients and routers then send past the dispatcher. The address is on a network "
            "card, or a proxy entry is published; on the loopback it would be silent."
        ),
    ),
    Cause.ANSWERS_OTHER_NIC: (
        "another interface of the server answers for the cluster address",
        (
            "A second card on the same segment, or a macvlan, is not silenced: settings of "
            "one interface do not speak for another."
        ),
    ),
    Cause.PUBLISHED: (
        "the server answers for the cluster address late, or without taking it: a published entry",
        (
            "A published (proxy) ARP or neighbour entry draws the clients to this server, "
            "whether or not it holds the address."
        ),
    ),
    Cause.PING_FILTERED: (
        "pings are filtered, the address is there",
        (
            "A firewall drops echo requests. That harms nothing that is balanced, but the "
            "page's own procedure would have called this server wrong."
        ),
    ),
    Cause.ALIAS_MISSING: (
        "the server does not take frames for the cluster address",
        (
            "It answers for its own address at the same MAC, so it lives: the alias is "
            "missing, or a firewall or a strong host model drops what is addressed to it. "
            "Clients see a black hole."
        ),
    ),
    Cause.WIDE_ALIAS: (
        "the alias has a wide mask",
        (
            "The server takes a whole network for its own. It sends nothing to machines of "
            "that network, or only as long as a longer route leads to them. An alias needs /32 "
            "(IPv6: /128)."
        ),
    ),
    Cause.REVERSE_PATH: (
        "the server drops packets by their source",
        (
            "It answers ARP that names no sender, but nothing that comes from this segment: "
            "the reverse-path filter (rp_filter) expects these senders on another interface."
        ),
    ),
    Cause.DROPS_ALL: (
        "the server answers ARP but no packet, not even for its own address",
        (
            "A firewall drops everything from here, or its routes lead replies to this "
            "segment elsewhere."
        ),
    ),
    Cause.PORT_FILTERED: (
        "the address is there, the port is silent",
        "A firewall on the server drops connections to this port of the cluster address.",
    ),
    Cause.PORT_REJECTED: (
        "the server rejects the port by ICMP",
        ("A firewall on the server rejects connections to this port of the cluster address."),
    ),
    Cause.CANNOT_ASK: (
        "the server answers only those whose MAC it knows already",
        (
            "It asks for MACs in the name of the cluster address, and a filter drops these "
            "questions (arptables or nftables, on output): whoever it does not know gets no "
            "reply. With arp_announce=2 it asks in its own name."
        ),
    ),
    Cause.BOUND_ELSEWHERE: (
        "the service listens on the server's own address only",
        (
            "The alias is there, but the application is bound to another address; a health "
            "check of the own address would never see it."
        ),
    ),
    Cause.NOT_LISTENING: (
        "nothing listens on the port",
        ("The alias is there, and no service on this port, neither here nor at the own address."),
    ),
    Cause.UDP_SILENT: (
        "nobody says that the port is closed",
        "That is all the wire can tell of UDP without knowing the application.",
    ),
    Cause.REPLIES_ELSEWHERE: (
        "replies leave from another MAC than requests reach",
        (
            "The server has two interfaces and its routes lead out of the other one. That "
            "works, if no switch or filter on the way minds."
        ),
    ),
    Cause.APPLICATION_FAILS: (
        "the port opens, the application does not answer as it should",
        "Clients would see the same. The evidence says what came instead.",
    ),
    Cause.ASKS_IN_ITS_NAME: (
        "the server asks for MACs in the name of the cluster address",
        (
            "Everybody who hears it learns the server's MAC for the cluster address: the "
            "routers' tables are poisoned although the server never answers (arp_announce is "
            "not 2)."
        ),
    ),
    Cause.ANNOUNCES: (
        "the server announces the cluster address unasked",
        (
            "A gratuitous announcement overwrites everybody's table. Network scripts send it "
            "when an alias is put on a network card."
        ),
    ),
    Cause.DID_NOT_ASK: (
        "the server did not have to ask for anybody's MAC",
        (
            "It knew the verifier's borrowed address already, or answered nothing; so it did "
            "not show in whose name it asks."
        ),
    ),
    Cause.FORWARDS: (
        "the server forwards frames that are not for it",
        (
            "If its alias is ever missing it sends the cluster's frames back to the segment, "
            "to the dispatcher. That is usual for a host of containers, and is accepted there by "
            "`accept: [forwards]` in the configuration."
        ),
    ),
    Cause.ANSWERS_FOREIGN: (
        "the server answers for an address that is not its own",
        "Its alias has a wide mask: it takes whole networks for itself.",
    ),
    Cause.STRANGER: (
        "a machine that is no server of the cluster owns the cluster address",
        (
            "Two machines with one address: clients reach either by chance. A forgotten "
            "standby, an address left on a card after a migration, or the dispatcher, which "
            "should be off."
        ),
    ),
    Cause.STRANGER_PUBLISHES: (
        "a machine that is no server answers for the cluster address and does not take it",
        ("A published (proxy) entry or proxy_arp on a router or host draws the clients away."),
    ),
    Cause.SPEAKS_FOR_ANOTHER: (
        "a machine tells a MAC that is not its own",
        (
            "A published entry somewhere names another machine's MAC: whoever believes it sends "
            "there, though that machine says nothing. It outlives every change of that machine."
        ),
    ),
    Cause.CROWD: (
        "the cluster address is claimed from more MACs than there can be machines",
        (
            "Somebody makes claims up: neighbour tables fill with them, and clients are led "
            "astray. A loop of switches or a broken virtual switch can look the same."
        ),
    ),
    Cause.DISPATCHER_RUNS: (
        "a dispatcher answers for the cluster address and hands connections to a server",
        "The page asks for this proof while it is off. Stop it, or examine with --live.",
    ),
    Cause.SEVERAL_DISPATCHERS: (
        "more machines than the dispatcher answer for the cluster address",
        (
            "Clients reach either by chance. A standby must be silent; anything else must not "
            "have the address."
        ),
    ),
    Cause.DISPATCHER_SILENT: (
        "the dispatcher does not answer who has the cluster address",
        ("Nobody finds the cluster. The daemon is down, on standby, or does not know the address."),
    ),
    Cause.DISPATCHER_LOSES: (
        "the dispatcher answers, but a connection through it does not open",
        "It has no usable server for this port, or its frames do not reach the servers.",
    ),
    Cause.DISPATCHER_ACCEPTS: (
        "the machine taken for the dispatcher accepts connections itself",
        (
            "A dispatcher hands them over to a server. This is another machine that has the "
            "cluster address, and the dispatcher does not run."
        ),
    ),
    Cause.DISPATCHER_STRAYS: (
        "a connection through the dispatcher is accepted by no server of the cluster",
        (
            "Clients get their answers from a machine that is not in the list: an old "
            "configuration runs, or this is not the dispatcher."
        ),
    ),
    Cause.DISPATCHER_UNPROVED: (
        "nothing shows that the machine which answers is the dispatcher",
        (
            "Whoever has the cluster address answers ARP. Only a connection that a server "
            "accepts proves a dispatcher, and there was none."
        ),
    ),
    Cause.UNREADABLE: (
        "a frame with the cluster address in it cannot be read",
        (
            "It may be a claim that some machines believe. --pcap FILE keeps it for a look by "
            "other means."
        ),
    ),
    Cause.FRAMES_LOST: (
        "frames arrived that could not be taken in",
        (
            "The machine was too busy, or the segment too loud: a claim may have been among "
            "them, so silence proves less."
        ),
    ),
    Cause.BORROWED_TAKEN: (
        "another machine has begun to use an address that was borrowed",
        (
            "Nobody had it when it was asked for. Answers may have gone there, so silence proves "
            "less."
        ),
    ),
    Cause.ADVISOR_UNASKED: (
        "the service's advisor cannot be asked at this MAC",
        (
            "The connection opens. What the advisor would say of the application is not known: "
            "it asks another place, or by other means than a connection to this port."
        ),
    ),
    Cause.NO_STACK: (
        "no request could be made: there is no TCP stack for it",
        (
            "That the port opens does not show that the application answers. The stack needs "
            "CAP_SYS_ADMIN, CAP_NET_ADMIN and /dev/net/tun."
        ),
    ),
    Cause.NO_FREE_ADDRESS: (
        "no address of the segment is free to be borrowed",
        "Packets need a sender that is nobody else's. Give one: --borrow ADDRESS.",
    ),
    Cause.ONE_FREE_ADDRESS: (
        "only one address of the segment is free",
        "This check needs a second one, which the server does not hold.",
    ),
    Cause.LEFT_BEHIND: (
        "the verifier's own tables have changed",
        "Entries for the examined addresses appeared while the examination ran.",
    ),
}


def what(cause: Cause) -> str:
    """Return what the cause means, as part of a sentence."""
    return _EXPLAINED[cause][0]


def why(cause: Cause) -> str:
    """Return why it matters."""
    return _EXPLAINED[cause][1]
