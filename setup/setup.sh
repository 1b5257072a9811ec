#!/usr/bin/env bash
# Installs what is missing, once: system packages, the virtual environment, the data plane.
# usage: setup/setup.sh demo|test|machines
set -euo pipefail
cd "$(dirname "$0")/.."

level=${1:?usage: setup/setup.sh demo|test|machines}
case $level in
    demo) lists=(setup/debian-demo.txt) lock=setup/runtime.txt ;;
    test) lists=(setup/debian-demo.txt setup/debian-test.txt) lock=setup/dev.txt ;;
    machines)
        lists=(setup/debian-demo.txt setup/debian-test.txt setup/debian-machines.txt)
        lock=setup/dev.txt level=test
        ;;
    *) echo "setup: unknown level '$level'; demo, test or machines" >&2; exit 2 ;;
esac
venv=.venv
say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

wanted=()
while read -r name; do wanted+=("$name"); done < <(sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "${lists[@]}")

# Packages start their services when installed; a service of the host's is not ours to start.
keep_services_down() {
    local policy=/usr/sbin/policy-rc.d
    [ -e "$policy" ] && return
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod +x "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
}

install_packages() {
    local missing=() name
    if command -v dpkg-query > /dev/null && command -v apt-get > /dev/null; then
        for name in "${wanted[@]}"; do
            [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2> /dev/null)" = installed ] || missing+=("$name")
        done
        [ ${#missing[@]} -eq 0 ] && return
        [ "$(id -u)" -eq 0 ] || die "root is needed to install: ${missing[*]}"
        say "installing ${#missing[@]} system packages: ${missing[*]}"
        keep_services_down
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
    else
        printf 'setup: no package manager known here. Shunt needs these (Debian names); install them and run again:\n' >&2
        printf '  %s\n' "${wanted[@]}" >&2
        exit 1
    fi
}

find_python() {
    local name
    for name in python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then
            command -v "$name"
            return
        fi
    done
    die "Python 3.11 or newer with its venv module is needed (on Ubuntu 22.04: apt-get install python3.11-venv)"
}

# The stamp names the lock that the environment was made from; the larger environment serves both levels.
install_python() {
    local sum stamp=$venv/.installed
    sum=$(sha256sum "$lock" pyproject.toml hatch_build.py | sha256sum | cut -c1-16)
    if [ -f "$stamp" ] && grep -qx "$level $sum" "$stamp"; then return; fi
    if [ ! -x $venv/bin/python ] || ! $venv/bin/python -c pass 2> /dev/null; then
        say "making the virtual environment"
        rm -rf $venv
        "$(find_python)" -m venv $venv
    fi
    say "installing Python packages from $lock"
    $venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r "$lock"
    $venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
    echo "$level $sum" >> "$stamp"
}

install_packages
install_python
$venv/bin/python hatch_build.py > /dev/null
