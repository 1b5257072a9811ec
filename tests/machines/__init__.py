"""Tests on real machines: Debian's kernel and systemd under emulation, rebooted. Takes minutes.

`make test-machines`. Begin with `test_dispatcher.py`; `machine.py` boots the disks of `images.py`,
which `build-image.sh` builds, `container.py` boots them as containers, in seconds, and
`software.py` makes a second disk with Shunt installed.
"""
