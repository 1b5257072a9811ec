# How system packages are installed here: what is missing, and with no service started or enabled by it.
# To be sourced, after services.sh.

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# Packages start their services when installed, and enable them for every boot. Neither is wanted here, and
# services that were here before are none of ours.
policy=/usr/sbin/policy-rc.d
keep_services_down() {
    started_before=$(starts_at_boot /)
    trap leave_services_as_they_were EXIT
    [ -e "$policy" ] && return
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod +x "$policy"
    our_policy=yes
}

leave_services_as_they_were() {
    local new
    [ -z "${our_policy-}" ] || rm -f "$policy"
    new=$(newly_started "$started_before" "$(starts_at_boot /)")
    [ -n "$new" ] || return 0
    put_off / "$new"
    say "not started at boot: $(cut -d ' ' -f 2 <<< "$new" | sort -u | paste -s -d ' ')"
}

# install_packages NAME...: install what of these is missing.
install_packages() {
    local missing=() name
    if command -v dpkg-query > /dev/null && command -v apt-get > /dev/null; then
        for name in "$@"; do
            [ "$(dpkg-query -W -f '${db:Status-Status}' "$name" 2> /dev/null)" = installed ] || missing+=("$name")
        done
        [ ${#missing[@]} -eq 0 ] && return
        [ "$(id -u)" -eq 0 ] || die "root is needed to install: ${missing[*]}"
        say "installing ${#missing[@]} system packages: ${missing[*]}"
        keep_services_down
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
        leave_services_as_they_were
        trap - EXIT
    else
        printf 'setup: no package manager known here. Shunt needs these (Debian names); install them and run again:\n' >&2
        printf '  %s\n' "$@" >&2
        exit 1
    fi
}
