"""Tests on real machines: Debian's kernel and systemd under emulation, rebooted. Takes minutes.

`make test-machines`. Begin with `test_reboot.py`; `machine.py` boots what `build-image.sh` builds.
"""
