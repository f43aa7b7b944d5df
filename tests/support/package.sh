#!/bin/bash
# Run by scripts/package-test.sh within a clean Debian, booted with systemd.
set -euo pipefail
not() { if "$@"; then echo "must fail, and does not: $*"; exit 1; fi; }
say() { echo "== $*"; }
until_true() {
    for _ in $(seq 1 120); do
        if "$@" > /dev/null 2>&1; then return 0; fi
        sleep 0.5
    done
    echo "waited a minute for: $*"
    journalctl -u plantroom --no-pager | tail -40
    plantroom status || true
    timeout 5 mosquitto_sub -h 127.0.0.1 -v -t '#' -C 5 | cut -c1-150 || true
    exit 1
}
values() {
    curl -s 'http://127.0.0.1:8428/internal/force_flush'
    curl -s 'http://127.0.0.1:8428/api/v1/query' --data-urlencode "query=count($1{$2})" | grep -q '"value":\[[0-9.]*,"1"\]'
}
telemetry() { timeout 5 mosquitto_sub -h 127.0.0.1 -t "plantroom/$1/telemetry" -C 1 | grep -q '"values"'; }
rows() { plantroom --config /etc/plantroom history sump-1.level_m --from 1h --format csv | wc -l; }

say "installed: no configuration yet, so it does not start, and says why"
dpkg -i /root/plantroom_*-1_amd64.deb
systemctl is-enabled plantroom
not systemctl is-active --quiet plantroom
[ "$(stat -c '%U:%G %a' /etc/plantroom)" = "root:plantroom 750" ]
id plantroom | grep -q dialout

say "scanned: a configuration is written from what answers on the wire"
systemd-run --quiet --unit=plant plantroom simulate --line /run/plant-line
until_true test -e /run/plant-line
chmod 666 "$(readlink -f /run/plant-line)"
plantroom scan tcp://127.0.0.1:15022 --units 1,11-16 --write /root/scanned
cp /root/scanned/*.toml /etc/plantroom/
sed -i 's/^# \(\[\[sink.influx\]\]\|name = "history"\|url = "http\|bucket = \)/\1/; s/^source = "ntp"/source = "rtc"/' /etc/plantroom/site.toml
chgrp plantroom /etc/plantroom/*.toml
chmod 640 /etc/plantroom/*.toml
plantroom check
systemctl start plantroom
systemctl is-active plantroom
until_true telemetry site-1/eastron-sdm630-unit-11
until_true values meter_power_kw 'site="site-1",device="schneider-iem3000-unit-1"'

say "configured: the example instead, its serial line too, by a reload"
cp /usr/share/plantroom/example/*.toml /etc/plantroom/
sed -i 's|/tmp/plantroom-line-sump|/run/plant-line|' /etc/plantroom/links.toml
printf '\n[[sink.influx]]\nname = "history"\nurl = "http://127.0.0.1:8428"\nbucket = "plantroom"\n' >> /etc/plantroom/site.toml
chgrp plantroom /etc/plantroom/*.toml
chmod 640 /etc/plantroom/*.toml
systemctl reload plantroom
until_true telemetry demo/sump-1
until_true telemetry demo/meter-main
until_true values sump_level_m 'site="demo"'
plantroom status
plantroom status --format json | grep -q '"journal"'

say "hardened: what it runs as and what it may do"
pid=$(systemctl show -p MainPID --value plantroom)
[ "$(stat -c %U /proc/$pid)" = plantroom ]
grep -q 'CapEff:.*0000000000000000' /proc/$pid/status
grep -q 'NoNewPrivs:.*1' /proc/$pid/status
[ "$(stat -c '%U:%G %a' /var/lib/plantroom)" = "plantroom:plantroom 750" ]
systemd-analyze security --no-pager plantroom.service | tail -1
systemd-analyze security --threshold=20 --no-pager plantroom.service > /dev/null

say "stuck or killed: started again"
kill -9 "$pid"
sleep 3
until_true systemctl is-active --quiet plantroom
systemctl reload plantroom
# A pseudo terminal stays locked after kill -9 as long as its other end lives; a real port does not.
warned=$(journalctl -u plantroom -p warning --no-pager --output cat | grep -v 'Main process exited\|Failed with result\|link is down\|^-- ' || true)
[ -z "$warned" ] || { echo "it warned: $warned"; journalctl -u plantroom -p warning --no-pager -o json | tail -20; journalctl -u plantroom --no-pager | tail -40; exit 1; }

systemctl restart plant
until_true test -e /run/plant-line
chmod 666 "$(readlink -f /run/plant-line)"
until_true sh -c "plantroom status | grep -q 'line-sump.* up '"

say "backed up while it runs"
plantroom --config /etc/plantroom backup /root/keep.tar.gz

say "upgraded: configuration and data stay, it runs on"
before=$(rows)
sum=$(cat /etc/plantroom/*.toml | md5sum)
dpkg -i /root/plantroom_*-2_amd64.deb
until_true systemctl is-active --quiet plantroom
[ "$sum" = "$(cat /etc/plantroom/*.toml | md5sum)" ]
until_true telemetry demo/sump-1
sleep 3
after=$(rows)
echo "history: $before rows before, $after after"
[ "$after" -gt "$before" ]

say "removed: configuration and data stay"
dpkg -r plantroom
not systemctl is-active --quiet plantroom
test -e /etc/plantroom/site.toml
test -d /var/lib/plantroom/journal
not test -e /usr/bin/plantroom

say "installed again: goes on where it was"
dpkg -i /root/plantroom_*-2_amd64.deb
until_true systemctl is-active --quiet plantroom
until_true telemetry demo/sump-1
[ "$(rows)" -ge "$after" ]

say "purged: nothing is left"
systemctl stop plant
dpkg -P plantroom
for path in /etc/plantroom /var/lib/plantroom /run/plantroom /usr/bin/plantroom /usr/share/plantroom /usr/lib/systemd/system/plantroom.service; do
    ! test -e $path || { echo "$path is left"; exit 1; }
done
not getent passwd plantroom
not getent group plantroom
left=$(find / -xdev -iname '*plantroom*' -not -path '/proc/*' -not -path '/root/*' -not -path '/var/lib/dpkg/*' -not -path '/var/log/*' -not -path '/run/*' 2> /dev/null || true)
[ -z "$left" ] || { echo "left: $left"; exit 1; }
say "all good"
