# Which services this machine starts at boot, and how those that came with a package are put off again.
# To be sourced. Debian's packages enable what they bring; who wanted a compiler did not want a mail server.

# starts_at_boot ROOT: print a line for each unit or script that ROOT starts at boot, sorted.
#   unit NAME LINK     systemd's link below ROOT, of a .wants or .requires folder, or another name of a unit
#   script NAME        an init script with a start link in some runlevel
starts_at_boot() {
    {
        find "$1/etc/systemd/system" -maxdepth 2 -type l ! -lname /dev/null \
            -printf 'unit %f etc/systemd/system/%P\n' 2> /dev/null || true
        find "$1"/etc/rc[2-5S].d -name 'S[0-9][0-9]*' -printf '%f\n' 2> /dev/null |
            sed 's/^S[0-9][0-9]/script /' || true
    } | LC_ALL=C sort -u
}

# newly_started BEFORE AFTER: print what is in AFTER and not in BEFORE, two texts of starts_at_boot.
# A line of AFTER alone is there once. No files of bash's own, as <() makes them: a chroot may have no /proc.
newly_started() {
    printf '%s\n' "$1" "$1" "$2" | LC_ALL=C sort | uniq -u
}

# put_off ROOT LINES: have ROOT start these no more at boot. What is started already runs on.
put_off() {
    local kind name link
    while read -r kind name link; do
        case $kind in
            unit) rm -f "$1/$link" ;;
            script) put_off_script "$1" "$name" ;;
        esac
    done <<< "$2"
}

# A K in place of the S, as `update-rc.d NAME disable` does: an upgrade of the package lets it be.
put_off_script() {
    local link folder
    for link in "$1"/etc/rc[2-5S].d/S[0-9][0-9]"$2"; do
        [ -L "$link" ] || continue
        folder=${link%/*}
        mv -f "$link" "$folder/K01$2"
    done
}
