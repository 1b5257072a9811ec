"""Ways into a server: what each form means, and what is refused."""

from __future__ import annotations

import pytest

from shunt.model.via import Endpoint, Via, Way


@pytest.mark.parametrize(
    ("text", "via"),
    [
        ("local", Via(Way.LOCAL)),
        ("ssh://web1", Via(Way.SSH, Endpoint("web1", 22))),
        ("ssh://root@192.0.2.21:2222", Via(Way.SSH, Endpoint("192.0.2.21", 2222, "root"))),
        ("ssh://root@[2001:db8::1]", Via(Way.SSH, Endpoint("2001:db8::1", 22, "root"))),
        ("ssh://[fe80::1%eth0]:22/", Via(Way.SSH, Endpoint("fe80::1%eth0", 22))),
        ("ssh://a@h?sudo=yes", Via(Way.SSH, Endpoint("h", 22, "a"), sudo=True)),
        ("ssh://h?sudo=no", Via(Way.SSH, Endpoint("h", 22))),
        (
            "ssh://h?jump=ops@[2001:db8::9]:22022&sudo=yes",
            Via(Way.SSH, Endpoint("h", 22), Endpoint("2001:db8::9", 22022, "ops"), sudo=True),
        ),
        ("ssh://DOM%5Cjoe@h", Via(Way.SSH, Endpoint("h", 22, "DOM\\joe"))),
        ("winrm://Administrator@win1", Via(Way.WINRM, Endpoint("win1", 5986, "Administrator"))),
        ("winrm://win1:15986", Via(Way.WINRM, Endpoint("win1", 15986))),
    ],
)
def test_forms(text: str, via: Via) -> None:
    assert Via.parse(text) == via


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no way in"),
        ("root@h", "no way in"),
        ("SSH://h", "no way in"),
        ("telnet://h", "no way in"),
        ("ssh://", "names no host"),
        ("ssh://root@", "names no host"),
        ("ssh://@h", "no user before"),
        ("ssh://a b", "names no host"),
        ("ssh://2001:db8::1", "in brackets"),
        ("ssh://-oProxyCommand=x", "names no host"),
        ("ssh://[::1", "no way in"),
        ("ssh://[]", "no"),
        ("ssh://root:secret@h", "password"),
        ("ssh://h:0", "no port"),
        ("ssh://h:65536", "no port"),
        ("ssh://h:x", "no port"),
        ("ssh://h/path", "after the host"),
        ("ssh://h#x", "after the host"),
        ("ssh://h?sudo=maybe", "sudo=yes or sudo=no"),
        ("ssh://h?sudo=yes&sudo=yes", "twice"),
        ("ssh://h?key=x", "no option of ssh"),
        ("ssh://h?jump=", "names no host"),
        ("ssh://h?jump=a:b@c", "password"),
        ("winrm://h?sudo=yes", "for ssh"),
    ],
)
def test_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Via.parse(text)
