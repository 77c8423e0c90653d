#!/bin/sh
# Installs what is missing of the groups named in config/packages.txt. When nothing is missing it does nothing at all.
#   sh config/install-packages.sh build demo test
# shellcheck disable=SC2086 # lists of packages are split into words on purpose
# Exit status: 0 all there, 1 something is missing still.
set -eu
list=$(dirname "$0")/packages.txt
PATH=$PATH:/usr/sbin:/sbin

if ! command -v dpkg-query >/dev/null 2>&1; then
    echo "install-packages: this is not Debian; what is needed stands in $list" >&2
    exit 1
fi

# Prints the packages of the groups that are neither installed nor made unnecessary by a command.
missing() {
    for group in "$@"; do
        while read -r in package command; do
            [ "$in" = "$group" ] || continue
            [ -n "$command" ] && command -v "$command" >/dev/null 2>&1 && continue
            [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] && continue
            printf '%s\n' "$package"
        done <"$list"
    done | sort -u
}

# A package's services stay off while it is installed: the tests start what they need by themselves.
with_services_off() {
    policy=/usr/sbin/policy-rc.d
    if [ -e $policy ]; then
        "$@"
        return
    fi
    printf '#!/bin/sh\nexit 101\n' | $root tee $policy >/dev/null
    $root chmod 755 $policy
    status=0
    "$@" || status=$?
    $root rm -f $policy
    return $status
}

apt() {
    $root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 "$@" >&2
}

install_missing() {
    for package in "$@"; do
        # No questions, and no mail service of its own beside the one under test.
        if [ "$package" = postfix ]; then
            echo 'postfix postfix/main_mailer_type select No configuration' | $root debconf-set-selections
        fi
    done
    apt install --no-install-recommends --no-remove "$@"
}

need=$(missing "$@")
[ -n "$need" ] || exit 0

root=
if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
        echo "install-packages: run this as root, or install sudo; missing:" $need >&2
        exit 1
    fi
    root=sudo
fi
echo "installing:" $need >&2
apt update || true
if ! with_services_off install_missing $need; then
    # One that cannot be had must not keep the others out.
    for package in $need; do
        with_services_off install_missing "$package" || echo "install-packages: cannot install $package" >&2
    done
fi
left=$(missing "$@")
[ -z "$left" ] && exit 0
echo "install-packages: still missing:" $left >&2
exit 1
