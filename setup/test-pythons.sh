#!/usr/bin/env bash
# Runs the unit tests (those that need neither root nor a kernel of ours) on each Python from 3.11 on that is
# found here: on the PATH, in /usr/bin, /usr/local/bin, and among pyenv's. An environment for each in .cache/pythons.
# usage: setup/test-pythons.sh [VERSION...]     such as 3.12 3.13; all that are found if none is named
set -euo pipefail
cd "$(dirname "$0")/.."

# found: print "VERSION PATH" for each, the newest micro version of each minor one.
found() {
    local python
    for python in $(compgen -c python3. | sort -u) /usr/bin/python3* /usr/local/bin/python3* \
        "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin/python3; do
        "$python" -c 'import sys, venv, ensurepip
if sys.version_info >= (3, 11) and sys.version_info.releaselevel == "final":
    print("%d.%d.%d" % sys.version_info[:3], sys.executable)' 2> /dev/null || true
    done | sort -rV | awk '{ split($1, v, "."); if (!seen[v[1] "." v[2]]++) print }' | sort -V
}

failed=() ran=()
while read -r -u 3 version python; do
    minor=${version%.*}
    if [ $# -gt 0 ] && [[ " $* " != *" $minor "* ]]; then continue; fi
    printf 'test-pythons: Python %s (%s)\n' "$version" "$python"
    venv=.cache/pythons/$minor
    sum=$(sha256sum setup/dev.txt pyproject.toml | sha256sum | cut -c1-16)
    if ! grep -qx "$version $sum" "$venv/.installed" 2> /dev/null; then
        rm -rf "$venv"
        "$python" -m venv "$venv"
        "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r setup/dev.txt
        "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
        echo "$version $sum" > "$venv/.installed"
    fi
    ran+=("$version")
    "$venv/bin/python" -m pytest -q -p no:cacheprovider -m 'not root and not lab and not bpf and not machines and not long' || failed+=("$version")
done 3< <(found)

[ ${#ran[@]} -gt 0 ] || { echo "test-pythons: no such Python is here" >&2; exit 2; }
echo "test-pythons: ran on ${ran[*]}; failed on ${failed[*]:-none}"
[ ${#failed[@]} -eq 0 ]
