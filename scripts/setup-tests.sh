#!/usr/bin/env bash
# Installs what the tests need and this machine lacks: Debian packages and Python modules. Says one line for each.
# Runs as root or with sudo; starts no service.
set -eu

packages="mosquitto mosquitto-clients mbpoll socat openssl curl python3 victoria-metrics influxdb systemd"
modules="pymodbus==3.16.1 amqtt==0.11.3 pyserial aiosmtpd python-gsmmodem-new openpyxl pandas"

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

installed() {
    [ "$(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null | cut -c1-2)" = ii ]
}

# npm comes with Node.js where that is not Debian's.
command -v npm > /dev/null || packages="$packages npm"

missing=""
for package in $packages; do
    if installed "$package"; then echo "$package: present"; else missing="$missing $package"; fi
done

if [ -n "$missing" ]; then
    # While the packages are installed, a policy keeps the broker from being started as a service.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
        trap 'as_root rm -f "$policy"' EXIT
    elif "$policy" mosquitto start >/dev/null 2>&1; then
        echo "$policy would let the mosquitto service start: have it exit with 101, then run this again" >&2
        exit 1
    fi
    as_root apt-get update -qq
    # shellcheck disable=SC2086    # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
    for package in $missing; do
        installed "$package" || { echo "$package: not installed" >&2; exit 1; }
        echo "$package: installed"
    done
fi

# Whether python3 has the module, in the version wanted if one is named; by its metadata, which is faster than an import.
has_module() {
    python3 - "$1" <<'PY'
import sys
from importlib.metadata import PackageNotFoundError, version

name, _, wanted = sys.argv[1].partition("==")
try:
    sys.exit(wanted not in ("", version(name)))
except PackageNotFoundError:
    sys.exit(1)
PY
}

install_module() {
    if ! python3 -m pip --version >/dev/null 2>&1; then
        [ -n "$missing" ] || as_root apt-get update -qq
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-pip >/dev/null
        echo "python3-pip: installed"
    fi
    # Debian's own python3 refuses pip without the first; a pip or python3 that knows neither takes no notice of them.
    PIP_BREAK_SYSTEM_PACKAGES=1 PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check "$1"
}

for module in $modules; do
    if has_module "$module"; then
        echo "$module: present"
    else
        install_module "$module"
        has_module "$module" || { echo "$module: not installed" >&2; exit 1; }
        echo "$module: installed"
    fi
done
