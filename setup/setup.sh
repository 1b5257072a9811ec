#!/usr/bin/env bash
# Installs what is missing, once: system packages, the virtual environment, the data plane.
# usage: setup/setup.sh wheel|demo|test|machines
set -euo pipefail
cd "$(dirname "$0")/.."

. setup/services.sh
. setup/packages.sh

level=${1:?usage: setup/setup.sh wheel|demo|test|machines}
case $level in
    wheel) lists=(setup/debian-build.txt) locks=(setup/{runtime,build}.txt) level=demo ;;
    demo) lists=(setup/debian-{build,demo}.txt) locks=(setup/{runtime,build}.txt) ;;
    test) lists=(setup/debian-{build,demo,test}.txt) locks=(setup/dev.txt) ;;
    machines)
        lists=(setup/debian-{build,demo,test,machines}.txt)
        locks=(setup/dev.txt) level=test
        ;;
    *) echo "setup: unknown level '$level'; wheel, demo, test or machines" >&2; exit 2 ;;
esac
venv=.venv

wanted=()
while read -r name; do wanted+=("$name"); done < <(sed 's/#.*//; s/[[:space:]]*$//; /^$/d' "${lists[@]}")

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

# The stamp names the locks that the environment was made from; the larger environment serves both levels.
install_python() {
    local sum stamp=$venv/.installed
    sum=$(sha256sum "${locks[@]}" pyproject.toml hatch_build.py | sha256sum | cut -c1-16)
    if [ -f "$stamp" ] && grep -qx "$level $sum" "$stamp"; then return; fi
    if [ ! -x $venv/bin/python ] || ! $venv/bin/python -c pass 2> /dev/null; then
        say "making the virtual environment"
        rm -rf $venv
        "$(find_python)" -m venv $venv
    fi
    say "installing Python packages from ${locks[*]}"
    $venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes "${locks[@]/#/-r}"
    $venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
    echo "$level $sum" >> "$stamp"
}

install_packages "${wanted[@]}"
install_python
$venv/bin/python hatch_build.py > /dev/null
