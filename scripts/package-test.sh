#!/usr/bin/env bash
# Installs, runs, upgrades, removes and purges the package in a clean Debian that is booted with systemd (debootstrap and
# systemd-nspawn, no network but its own loopback). As root, by hand: ten minutes, most of it the two builds of the package.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in debootstrap systemd-nspawn; do
    command -v $tool > /dev/null || apt-get install -y -qq --no-install-recommends debootstrap systemd-container > /dev/null
done
scripts/package.sh amd64 1
scripts/package.sh amd64 2
base=target/debian-base root=target/debian-root
if [ ! -d $base ]; then
    debootstrap --variant=minbase \
        --include=systemd,systemd-sysv,dbus,udev,adduser,ca-certificates,curl,mosquitto,mosquitto-clients,victoria-metrics \
        bookworm $base.new > /dev/null
    mv $base.new $base
fi
rm -rf $root
cp -a $base $root
cp target/packages/plantroom_*-[12]_amd64.deb $root/root/
install -m 755 tests/support/package.sh $root/root/test.sh
cat > $root/etc/systemd/system/package-test.service << 'UNIT'
[Unit]
After=multi-user.target mosquitto.service victoria-metrics.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c '/root/test.sh > /root/log 2>&1; echo $? > /root/result; systemctl poweroff'
UNIT
mkdir -p $root/etc/systemd/system/default.target.wants
ln -s ../package-test.service $root/etc/systemd/system/default.target.wants/
timeout -k 10 400 systemd-nspawn --quiet --register=no --keep-unit --private-network --boot -D $root > $root/root/boot 2>&1 || true
cat $root/root/log
[ "$(cat $root/root/result)" = 0 ] || { echo "the package does not do what it should" >&2; exit 1; }
