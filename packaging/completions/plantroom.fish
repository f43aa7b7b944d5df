# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_plantroom_global_optspecs
    string join \n config= state= utc log= h/help V/version
end

function __fish_plantroom_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_plantroom_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_plantroom_using_subcommand
    set -l cmd (__fish_plantroom_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c plantroom -n "__fish_plantroom_needs_command" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_needs_command" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_needs_command" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_needs_command" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_needs_command" -s V -l version -d 'Print version'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "demo" -d 'Run a simulated plant, a broker, journal and gateway in one process: needs no file'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "run" -d 'Run the gateway until Ctrl-C or SIGTERM'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "check" -d 'Check the configuration: every problem at once'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "read" -d 'Read a device now: values beside raw words'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "scan" -d 'Find out which units answer on a bus, and what they are'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "simulate" -d 'Run the demo\'s plant alone: real Modbus servers on loopback'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "status" -d 'Links, units, sinks, journal and clock of the running gateway'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "history" -d 'Read back the history of a point'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "energy" -d 'Consumption in a period, each figure with the two readings behind it'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "alarm" -d 'What is in alarm, and what was'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "replay" -d 'Try alarm rules on the past: what they would have raised beside what was'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "ack" -d 'Take an alarm: who takes it first owns it'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "shelve" -d 'Put an alarm aside for a time; it comes back by itself'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "test" -d 'Announce a test run of a device: nobody is told of what it raises'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "audit" -d 'Who did what, by which way: alarms, pages, rotas, the gateway itself'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "explain" -d 'Why an alarm is, or is not, and what it waits for'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "page" -d 'Page somebody for a trial; what became of every page'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "rota" -d 'Who is on call, and who stands in'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "flood" -d 'The flood level, what it follows from, and when it may go down'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "inject" -d 'Give the alarms a sample for a trial: marked TEST, never history, evidence or energy'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "set-aside" -d 'What a store refused for good: listed, sent again, discarded'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "verify" -d 'Read every file of the history once, slowly, and say what of it cannot be read'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "resend" -d 'Write a range of the history to a store again'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "reload" -d 'Load the configuration again; what did not change misses no cycle'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "backup" -d 'Keep configuration and state in one file; works beside the running gateway'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "restore" -d 'Bring a backup back: unpacked, proved by opening it, put into place'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "clock" -d 'The clock of the running gateway'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "reference" -d 'Print the reference of the configuration'
complete -c plantroom -n "__fish_plantroom_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plantroom -n "__fish_plantroom_using_subcommand demo" -l scenario -d 'What happens in the plant' -r -f -a "calm\t'An ordinary day; the generating set has a test run'
rainstorm\t'It rains harder than one pump can carry away'
pump-blocked\t'On a dry day the duty pump runs without lowering the level; the standby pump makes up for it'
entrapment\t'A lift stops between floors with somebody in it'
blackout\t'The mains fail; the generating set starts and takes over'"
complete -c plantroom -n "__fish_plantroom_using_subcommand demo" -l speed -d 'How many times faster than the clock the plant runs, 1 to 20; in the demo polls, rules and the date too' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand demo" -l store -d 'Write into a time-series store too: its address (VictoriaMetrics, InfluxDB 2 or 3; bucket `plantroom`), or `v1:` and the address for InfluxDB 1.x (database `plantroom`). More than one may be named' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand demo" -l write -d 'Write the demo\'s site as a commented configuration into a directory, and do nothing else' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand demo" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand demo" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand demo" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand demo" -l fresh -d 'Begin without a past: no year of simulated history'
complete -c plantroom -n "__fish_plantroom_using_subcommand demo" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand demo" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand run" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand run" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand run" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand run" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand check" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand check" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand check" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand check" -l plan -d 'Print the read plan, wire time, the share of each bus, bytes a day and days of history'
complete -c plantroom -n "__fish_plantroom_using_subcommand check" -l alarms -d 'Which alarm rules apply to which device, and what is missing where one does not'
complete -c plantroom -n "__fish_plantroom_using_subcommand check" -l online -d 'Ask every unit who it is. Writes nothing; a running gateway asks for us, between its cycles'
complete -c plantroom -n "__fish_plantroom_using_subcommand check" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand read" -l record -d 'Write down every byte of it: a fault report that `simulate --play` plays back. Only while no gateway runs' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand read" -l unit -d 'Unit id, where a bus is named instead of a device' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand read" -l address -d 'First address on the wire: 0 is what documents call 40001 (function 3), 30001 (function 4), 1 (function 1) or 10001 (function 2)' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand read" -l count -d 'How many registers or bits' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand read" -l function -d '1: coils, 2: discrete inputs, 3: holding registers, 4: input registers' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand read" -l baud -d 'Serial: speed' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand read" -l parity -d 'Serial: none, even or odd' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand read" -l timeout-ms -d 'Longest wait for an answer, milliseconds' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand read" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand read" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand read" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand read" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand read" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand read" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand scan" -l units -d 'Unit ids to ask: `1-32`, `1,5,10-20`' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand scan" -l baud -d 'Serial: speed. Default: each that a profile is delivered with, until somebody answers' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand scan" -l parity -d 'Serial: none, even or odd, with --baud' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand scan" -l timeout-ms -d 'Longest wait for an answer, milliseconds' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand scan" -l write -d 'Write what was found as a commented configuration into a directory' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand scan" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand scan" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand scan" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand scan" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand scan" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand scan" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand simulate" -l scenario -d 'What happens in the plant' -r -f -a "calm\t'An ordinary day; the generating set has a test run'
rainstorm\t'It rains harder than one pump can carry away'
pump-blocked\t'On a dry day the duty pump runs without lowering the level; the standby pump makes up for it'
entrapment\t'A lift stops between floors with somebody in it'
blackout\t'The mains fail; the generating set starts and takes over'"
complete -c plantroom -n "__fish_plantroom_using_subcommand simulate" -l speed -d 'How many times faster than the clock the plant runs, 1 to 20; in the demo polls, rules and the date too' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand simulate" -l play -d 'Instead of the plant: play back what `read --record` wrote, each link on a port of its own' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand simulate" -l line -d 'Where the serial line\'s name is linked to' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand simulate" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand simulate" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand simulate" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand simulate" -l any-port -d 'Take free ports instead of 15020 to 15022, for more than one plant at a time'
complete -c plantroom -n "__fish_plantroom_using_subcommand simulate" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand simulate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand status" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand status" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand status" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand status" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand status" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand status" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand history" -l from -d 'From: a date (2026-11-21, 2026-11-21T08:00, with or without zone; 2026-11, today, yesterday), or so long ago (24h, 30m). Default: 24h' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand history" -l to -d 'To: the same. Default: now' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand history" -l every -d 'In slots of this length instead of every sample: 15m, 1h on the clock\'s own grid; days, weeks, months and years (1d, 1w, 1mo, 1y) of the calendar, the first from `--from` on' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand history" -l zone -d 'Time zone of dates and of the calendar. Default: the site\'s' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand history" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand history" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand history" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand history" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand history" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -f -a "report" -d 'What each metering point or register consumed in a period, with the readings at both ends and how complete it is'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -f -a "readings" -d 'The readings that are kept of a register'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -f -a "gaps" -d 'Where a figure is not measured: gaps, boundaries that nobody has explained, what is pending'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -f -a "meters" -d 'Metering points and their meters: serial numbers, transformers, classes, calibration'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -f -a "reconcile" -d 'Main meters beside the meters below them, and whether the difference can be the meters\' errors'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -f -a "cost" -d 'What consumption costs by time-of-use tariff, and demand beside the contract; for comparison, never an invoice'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -f -a "demand" -d 'Maximum demand in blocks of the configured intervals, and in windows of any start (sliding)'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -f -a "indicators" -d 'Night base load, load factor, consumption per square metre, per cubic metre and per lift run'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -f -a "disclosure" -d 'What all owners share, with opening and closing readings, by month: for disclosure'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -f -a "export" -d 'Write everything of a period into one file: FILE.xlsx (sheets), FILE.json or FILE.csv (a row for each point and interval)'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -f -a "verify" -d 'Compute an export again from the ledger, and say which cell differs'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -f -a "classify" -d 'Say what a boundary of a register was; without a register, list the boundaries that wait for a person'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -f -a "reading" -d 'Enter a reading that was taken at the meter'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -f -a "correct" -d 'Say what was really consumed in a time'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -f -a "close" -d 'Close a month, or close it again after a change: its figures are kept as its next revision; without a month, list them'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and not __fish_seen_subcommand_from report readings gaps meters reconcile cost demand indicators disclosure export verify classify reading correct close help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from report" -l period -d 'The period: a year (2026), a month (2026-11), a day (2026-11-27), today, yesterday, this-month, last-month, this-year, last-year' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from report" -l from -d 'From: a date as in `history`, instead of a period' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from report" -l to -d 'To: the same. Default: now' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from report" -l unit -d 'Only what has this unit, such as kWh, m³, h' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from report" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from report" -l by -d 'A row for each of these instead of one for the period' -r -f -a "interval\t'The intervals of the configuration: a quarter of an hour, unless it says otherwise'
hour\t'Hours of the clock'
day\t'Days of the site'
month\t'Months of the site'
year\t'Years of the site'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from report" -l group -d 'What the rows are about' -r -f -a "point\t'Metering points, and registers that belong to none'
end-use\t'What it is used for: lighting, lifts, pumps'
area\t'Areas of the site, with consumption per square metre'
tariff\t'Tariff periods of the points that have a contract'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from report" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from report" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from report" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from report" -l all -d 'Registers that belong to no metering point too, where there are metering points'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from report" -l compare -d 'With the period before, and the same dates a year ago'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from report" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from readings" -l period -d 'The period: a year (2026), a month (2026-11), a day (2026-11-27), today, yesterday, this-month, last-month, this-year, last-year' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from readings" -l from -d 'From: a date as in `history`, instead of a period' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from readings" -l to -d 'To: the same. Default: now' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from readings" -l unit -d 'Only what has this unit, such as kWh, m³, h' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from readings" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from readings" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from readings" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from readings" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from readings" -l all -d 'Registers that belong to no metering point too, where there are metering points'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from readings" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from readings" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from gaps" -l period -d 'The period: a year (2026), a month (2026-11), a day (2026-11-27), today, yesterday, this-month, last-month, this-year, last-year' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from gaps" -l from -d 'From: a date as in `history`, instead of a period' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from gaps" -l to -d 'To: the same. Default: now' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from gaps" -l unit -d 'Only what has this unit, such as kWh, m³, h' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from gaps" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from gaps" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from gaps" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from gaps" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from gaps" -l all -d 'Registers that belong to no metering point too, where there are metering points'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from gaps" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from gaps" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from meters" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from meters" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from meters" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from meters" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from meters" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from meters" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reconcile" -l period -d 'The period: a year (2026), a month (2026-11), a day (2026-11-27), today, yesterday, this-month, last-month, this-year, last-year' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reconcile" -l from -d 'From: a date as in `history`, instead of a period' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reconcile" -l to -d 'To: the same. Default: now' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reconcile" -l unit -d 'Only what has this unit, such as kWh, m³, h' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reconcile" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reconcile" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reconcile" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reconcile" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reconcile" -l all -d 'Registers that belong to no metering point too, where there are metering points'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reconcile" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reconcile" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from cost" -l period -d 'The period: a year (2026), a month (2026-11), a day (2026-11-27), today, yesterday, this-month, last-month, this-year, last-year' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from cost" -l from -d 'From: a date as in `history`, instead of a period' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from cost" -l to -d 'To: the same. Default: now' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from cost" -l unit -d 'Only what has this unit, such as kWh, m³, h' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from cost" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from cost" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from cost" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from cost" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from cost" -l all -d 'Registers that belong to no metering point too, where there are metering points'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from cost" -l daily -d 'Rows for each day instead of each month'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from cost" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from cost" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from demand" -l period -d 'The period: a year (2026), a month (2026-11), a day (2026-11-27), today, yesterday, this-month, last-month, this-year, last-year' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from demand" -l from -d 'From: a date as in `history`, instead of a period' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from demand" -l to -d 'To: the same. Default: now' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from demand" -l unit -d 'Only what has this unit, such as kWh, m³, h' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from demand" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from demand" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from demand" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from demand" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from demand" -l all -d 'Registers that belong to no metering point too, where there are metering points'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from demand" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from demand" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from indicators" -l period -d 'The period: a year (2026), a month (2026-11), a day (2026-11-27), today, yesterday, this-month, last-month, this-year, last-year' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from indicators" -l from -d 'From: a date as in `history`, instead of a period' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from indicators" -l to -d 'To: the same. Default: now' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from indicators" -l unit -d 'Only what has this unit, such as kWh, m³, h' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from indicators" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from indicators" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from indicators" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from indicators" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from indicators" -l all -d 'Registers that belong to no metering point too, where there are metering points'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from indicators" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from indicators" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from disclosure" -l month -d 'The month, such as 2026-10' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from disclosure" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from disclosure" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from disclosure" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from disclosure" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from disclosure" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from disclosure" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from export" -l period -d 'The period: a year (2026), a month (2026-11), a day (2026-11-27), today, yesterday, this-month, last-month, this-year, last-year' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from export" -l from -d 'From: a date as in `history`, instead of a period' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from export" -l to -d 'To: the same. Default: now' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from export" -l unit -d 'Only what has this unit, such as kWh, m³, h' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from export" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from export" -l by -d 'Length of the rows of consumption and readings' -r -f -a "interval\t'The intervals of the configuration: a quarter of an hour, unless it says otherwise'
hour\t'Hours of the clock'
day\t'Days of the site'
month\t'Months of the site'
year\t'Years of the site'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from export" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from export" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from export" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from export" -l all -d 'Registers that belong to no metering point too, where there are metering points'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from export" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from export" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from verify" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from verify" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from verify" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from verify" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from classify" -l span -d 'Number of the span behind the boundary, as the list has it. Default: the only one that nobody has explained' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from classify" -l exchange -d 'Another meter: the final reading of the old one and the initial reading of the new one' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from classify" -l rolled-over -d 'It reached this value and went on from 0' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from classify" -l note -d 'Why, or by whom it was read; it stays with the figure' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from classify" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from classify" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from classify" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from classify" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from classify" -l reset -d 'The register began again at 0: what it shows since counts'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from classify" -l continued -d 'The same register went on; what it showed above the reading behind the boundary was garbage'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from classify" -l reopen -d 'Take an earlier decision back: nobody knows'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from classify" -l revise -d 'Change a closed month all the same: it has to be closed again'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from classify" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from classify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reading" -l at -d 'When: 2026-11-27T10:15, in the site\'s time zone. Default: now' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reading" -l note -d 'Why, or by whom it was read; it stays with the figure' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reading" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reading" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reading" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reading" -l withdraw -d 'Take the reading of this time back'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reading" -l revise -d 'Change a closed month all the same: it has to be closed again'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reading" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from reading" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from correct" -l from -d 'From: 2026-11-27T10:15, in the site\'s time zone' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from correct" -l to -d 'To: the same' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from correct" -l note -d 'Why, or by whom it was read; it stays with the figure' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from correct" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from correct" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from correct" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from correct" -l withdraw -d 'Take the correction of this time back'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from correct" -l revise -d 'Change a closed month all the same: it has to be closed again'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from correct" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from correct" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from close" -l note -d 'Why' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from close" -l format -d 'Form of the list' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from close" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from close" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from close" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from close" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from close" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from help" -f -a "report" -d 'What each metering point or register consumed in a period, with the readings at both ends and how complete it is'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from help" -f -a "readings" -d 'The readings that are kept of a register'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from help" -f -a "gaps" -d 'Where a figure is not measured: gaps, boundaries that nobody has explained, what is pending'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from help" -f -a "meters" -d 'Metering points and their meters: serial numbers, transformers, classes, calibration'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from help" -f -a "reconcile" -d 'Main meters beside the meters below them, and whether the difference can be the meters\' errors'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from help" -f -a "cost" -d 'What consumption costs by time-of-use tariff, and demand beside the contract; for comparison, never an invoice'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from help" -f -a "demand" -d 'Maximum demand in blocks of the configured intervals, and in windows of any start (sliding)'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from help" -f -a "indicators" -d 'Night base load, load factor, consumption per square metre, per cubic metre and per lift run'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from help" -f -a "disclosure" -d 'What all owners share, with opening and closing readings, by month: for disclosure'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from help" -f -a "export" -d 'Write everything of a period into one file: FILE.xlsx (sheets), FILE.json or FILE.csv (a row for each point and interval)'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from help" -f -a "verify" -d 'Compute an export again from the ledger, and say which cell differs'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from help" -f -a "classify" -d 'Say what a boundary of a register was; without a register, list the boundaries that wait for a person'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from help" -f -a "reading" -d 'Enter a reading that was taken at the meter'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from help" -f -a "correct" -d 'Say what was really consumed in a time'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from help" -f -a "close" -d 'Close a month, or close it again after a change: its figures are kept as its next revision; without a month, list them'
complete -c plantroom -n "__fish_plantroom_using_subcommand energy; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and not __fish_seen_subcommand_from list show history report handover arrived reset out back help" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and not __fish_seen_subcommand_from list show history report handover arrived reset out back help" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and not __fish_seen_subcommand_from list show history report handover arrived reset out back help" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and not __fish_seen_subcommand_from list show history report handover arrived reset out back help" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and not __fish_seen_subcommand_from list show history report handover arrived reset out back help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and not __fish_seen_subcommand_from list show history report handover arrived reset out back help" -f -a "list" -d 'What is not normal; `--all`: every alarm there could be'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and not __fish_seen_subcommand_from list show history report handover arrived reset out back help" -f -a "show" -d 'One alarm, and why it is as it is'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and not __fish_seen_subcommand_from list show history report handover arrived reset out back help" -f -a "history" -d 'What happened to the alarms: raised, acknowledged, cleared, and by whom'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and not __fish_seen_subcommand_from list show history report handover arrived reset out back help" -f -a "report" -d 'How healthy the alarms were: how many, how often, how long, how late'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and not __fish_seen_subcommand_from list show history report handover arrived reset out back help" -f -a "handover" -d 'Give it to somebody else, who is paged'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and not __fish_seen_subcommand_from list show history report handover arrived reset out back help" -f -a "arrived" -d 'Record that somebody is on site'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and not __fish_seen_subcommand_from list show history report handover arrived reset out back help" -f -a "reset" -d 'It is inspected: a latched alarm goes'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and not __fish_seen_subcommand_from list show history report handover arrived reset out back help" -f -a "out" -d 'Take it out of service until it is put back'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and not __fish_seen_subcommand_from list show history report handover arrived reset out back help" -f -a "back" -d 'Put it back into service'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and not __fish_seen_subcommand_from list show history report handover arrived reset out back help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from list" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from list" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from list" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from list" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from list" -l all -d 'The normal ones too'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from list" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from show" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from show" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from show" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from show" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from history" -l from -d 'From: a date, or so long ago (`24h`, `7d`)' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from history" -l to -d 'To: a date, or so long ago (`24h`). Default: now' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from history" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from history" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from history" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from history" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from history" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from history" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from report" -l month -d 'The month, `2026-11`; the last 30 days if none is named' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from report" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from report" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from report" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from report" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from report" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from handover" -l note -d 'Why, for the record' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from handover" -l to -d 'Who gets it: a person\'s id, as in `[[person]]`' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from handover" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from handover" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from handover" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from handover" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from handover" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from arrived" -l note -d 'Why, for the record' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from arrived" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from arrived" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from arrived" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from arrived" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from arrived" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from reset" -l note -d 'Why, for the record' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from reset" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from reset" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from reset" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from reset" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from reset" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from out" -l note -d 'Why, for the record' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from out" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from out" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from out" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from out" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from out" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from back" -l note -d 'Why, for the record' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from back" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from back" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from back" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from back" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from back" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from help" -f -a "list" -d 'What is not normal; `--all`: every alarm there could be'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from help" -f -a "show" -d 'One alarm, and why it is as it is'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from help" -f -a "history" -d 'What happened to the alarms: raised, acknowledged, cleared, and by whom'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from help" -f -a "report" -d 'How healthy the alarms were: how many, how often, how long, how late'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from help" -f -a "handover" -d 'Give it to somebody else, who is paged'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from help" -f -a "arrived" -d 'Record that somebody is on site'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from help" -f -a "reset" -d 'It is inspected: a latched alarm goes'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from help" -f -a "out" -d 'Take it out of service until it is put back'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from help" -f -a "back" -d 'Put it back into service'
complete -c plantroom -n "__fish_plantroom_using_subcommand alarm; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plantroom -n "__fish_plantroom_using_subcommand replay" -l from -d 'From: a date, or so long ago (`24h`, `7d`)' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand replay" -l to -d 'To: a date; now if none is given' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand replay" -l alarms -d 'A directory with `*.toml` of rules, as `alarms/` beside the configuration; without it the rules in force' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand replay" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand replay" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand replay" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand replay" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand replay" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand ack" -l device -d 'Everything of a device' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand ack" -l area -d 'Everything in an area' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand ack" -l priority -d 'Everything of a priority: `P3`' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand ack" -l note -d 'Why, for the record' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand ack" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand ack" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand ack" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand ack" -l all -d 'Everything that waits for somebody'
complete -c plantroom -n "__fish_plantroom_using_subcommand ack" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand ack" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand shelve" -l note -d 'Why, for the record' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand shelve" -l for -d 'For how long: `30m`, `8h`, `2d`' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand shelve" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand shelve" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand shelve" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand shelve" -l off -d 'Take it off the shelf'
complete -c plantroom -n "__fish_plantroom_using_subcommand shelve" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand shelve" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand test" -l for -d 'For how long: `30m`, at most 4 hours' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand test" -l by -d 'Who tests, for the record. Default: whoever enters the command' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand test" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand test" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand test" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand test" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand audit" -l from -d 'From: a date, or so long ago (`24h`, `7d`)' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand audit" -l to -d 'To: a date, or so long ago (`24h`). Default: now' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand audit" -l actor -d 'One person or program only' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand audit" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand audit" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand audit" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand audit" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand audit" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand audit" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand explain" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand explain" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand explain" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand explain" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand explain" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and not __fish_seen_subcommand_from test log help" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and not __fish_seen_subcommand_from test log help" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and not __fish_seen_subcommand_from test log help" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and not __fish_seen_subcommand_from test log help" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and not __fish_seen_subcommand_from test log help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and not __fish_seen_subcommand_from test log help" -f -a "test" -d 'Page somebody for a trial: it has to be acknowledged like any other'
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and not __fish_seen_subcommand_from test log help" -f -a "log" -d 'What became of every page: who was told, through what, and why not'
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and not __fish_seen_subcommand_from test log help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and __fish_seen_subcommand_from test" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and __fish_seen_subcommand_from test" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and __fish_seen_subcommand_from test" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and __fish_seen_subcommand_from test" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and __fish_seen_subcommand_from test" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and __fish_seen_subcommand_from log" -l from -d 'From: a date, or so long ago (`24h`, `7d`)' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and __fish_seen_subcommand_from log" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and __fish_seen_subcommand_from log" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and __fish_seen_subcommand_from log" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and __fish_seen_subcommand_from log" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and __fish_seen_subcommand_from log" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and __fish_seen_subcommand_from log" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and __fish_seen_subcommand_from help" -f -a "test" -d 'Page somebody for a trial: it has to be acknowledged like any other'
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and __fish_seen_subcommand_from help" -f -a "log" -d 'What became of every page: who was told, through what, and why not'
complete -c plantroom -n "__fish_plantroom_using_subcommand page; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and not __fish_seen_subcommand_from show override overrides withdraw help" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and not __fish_seen_subcommand_from show override overrides withdraw help" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and not __fish_seen_subcommand_from show override overrides withdraw help" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and not __fish_seen_subcommand_from show override overrides withdraw help" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and not __fish_seen_subcommand_from show override overrides withdraw help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and not __fish_seen_subcommand_from show override overrides withdraw help" -f -a "show" -d 'Who is on call when; gaps as well'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and not __fish_seen_subcommand_from show override overrides withdraw help" -f -a "override" -d 'Somebody stands in for whoever the plan names'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and not __fish_seen_subcommand_from show override overrides withdraw help" -f -a "overrides" -d 'Who stands in for whom, with numbers'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and not __fish_seen_subcommand_from show override overrides withdraw help" -f -a "withdraw" -d 'Take one of them back'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and not __fish_seen_subcommand_from show override overrides withdraw help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from show" -l days -d 'So many days from now on' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from show" -l rota -d 'One rota; all if none is named' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from show" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from show" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from show" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from show" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from show" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from override" -l rota -d 'The rota; not needed where there is one' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from override" -l from -d 'From this moment, `2026-11-23T08:00`; now if none is named' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from override" -l for -d 'For how long: `12h`, `2d`' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from override" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from override" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from override" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from override" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from override" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from overrides" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from overrides" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from overrides" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from overrides" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from overrides" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from overrides" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from withdraw" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from withdraw" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from withdraw" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from withdraw" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from withdraw" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from help" -f -a "show" -d 'Who is on call when; gaps as well'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from help" -f -a "override" -d 'Somebody stands in for whoever the plan names'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from help" -f -a "overrides" -d 'Who stands in for whom, with numbers'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from help" -f -a "withdraw" -d 'Take one of them back'
complete -c plantroom -n "__fish_plantroom_using_subcommand rota; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and not __fish_seen_subcommand_from set withdraw force-down readiness tick report log help" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and not __fish_seen_subcommand_from set withdraw force-down readiness tick report log help" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and not __fish_seen_subcommand_from set withdraw force-down readiness tick report log help" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and not __fish_seen_subcommand_from set withdraw force-down readiness tick report log help" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and not __fish_seen_subcommand_from set withdraw force-down readiness tick report log help" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and not __fish_seen_subcommand_from set withdraw force-down readiness tick report log help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and not __fish_seen_subcommand_from set withdraw force-down readiness tick report log help" -f -a "set" -d 'Set a level: it holds until its time is over, whatever else says less'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and not __fish_seen_subcommand_from set withdraw force-down readiness tick report log help" -f -a "withdraw" -d 'End what was set; what else demands a level goes on'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and not __fish_seen_subcommand_from set withdraw force-down readiness tick report log help" -f -a "force-down" -d 'A manager brings the level down at once, until an input rises or the time is over'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and not __fish_seen_subcommand_from set withdraw force-down readiness tick report log help" -f -a "readiness" -d 'Whether the site could pump now: what is not ready, device by device'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and not __fish_seen_subcommand_from set withdraw force-down readiness tick report log help" -f -a "tick" -d 'Say that somebody has looked at something that only people can see, such as sandbags'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and not __fish_seen_subcommand_from set withdraw force-down readiness tick report log help" -f -a "report" -d 'What a flood was: levels, the course of each sump, who did what, alarms, water pumped; as text or a page to print'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and not __fish_seen_subcommand_from set withdraw force-down readiness tick report log help" -f -a "log" -d 'What happened: levels, warnings, and who did what'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and not __fish_seen_subcommand_from set withdraw force-down readiness tick report log help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from set" -l for -d 'For how long: at most `12h`' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from set" -l note -d 'Why, for the record' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from set" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from set" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from set" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from set" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from set" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from withdraw" -l note -d 'Why, for the record' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from withdraw" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from withdraw" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from withdraw" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from withdraw" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from withdraw" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from force-down" -l for -d 'For how long: at most `12h`' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from force-down" -l note -d 'Why, for the record' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from force-down" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from force-down" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from force-down" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from force-down" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from force-down" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from readiness" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from readiness" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from readiness" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from readiness" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from readiness" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from readiness" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from tick" -l note -d 'What was seen, for the record' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from tick" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from tick" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from tick" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from tick" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from tick" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from report" -l last -d 'Which one: 1 is the last, 2 the one before' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from report" -l html -d 'Write a page to print into this file' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from report" -l language -d 'Language of what is written' -r -f -a "zh\t'Chinese'
en\t'English'"
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from report" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from report" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from report" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from report" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from log" -l from -d 'From: a date, or so long ago (`24h`, `7d`)' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from log" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from log" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from log" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from log" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from log" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from log" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from help" -f -a "set" -d 'Set a level: it holds until its time is over, whatever else says less'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from help" -f -a "withdraw" -d 'End what was set; what else demands a level goes on'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from help" -f -a "force-down" -d 'A manager brings the level down at once, until an input rises or the time is over'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from help" -f -a "readiness" -d 'Whether the site could pump now: what is not ready, device by device'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from help" -f -a "tick" -d 'Say that somebody has looked at something that only people can see, such as sandbags'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from help" -f -a "report" -d 'What a flood was: levels, the course of each sump, who did what, alarms, water pumped; as text or a page to print'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from help" -f -a "log" -d 'What happened: levels, warnings, and who did what'
complete -c plantroom -n "__fish_plantroom_using_subcommand flood; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plantroom -n "__fish_plantroom_using_subcommand inject" -l for -d 'For how long: `60s`, `10m`, at most 1 hour' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand inject" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand inject" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand inject" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand inject" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand inject" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand set-aside" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand set-aside" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand set-aside" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand set-aside" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand set-aside" -l send -d 'Send everything again; what is refused again is set aside again'
complete -c plantroom -n "__fish_plantroom_using_subcommand set-aside" -l discard -d 'Discard everything that was set aside; it cannot be sent from here again'
complete -c plantroom -n "__fish_plantroom_using_subcommand set-aside" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand set-aside" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand verify" -l format -d 'Form of the output' -r -f -a "table\t'Columns of text, for people to read'
json\t'JSON, for programs to parse'
csv\t'Comma-separated values, as spreadsheets read them'"
complete -c plantroom -n "__fish_plantroom_using_subcommand verify" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand verify" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand verify" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand verify" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand resend" -l from -d 'From: a date (2026-11-21, 2026-11-21T08:00, with or without zone), or so long ago (24h)' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand resend" -l to -d 'To before: the same. Default: now' -r
complete -c plantroom -n "__fish_plantroom_using_subcommand resend" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand resend" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand resend" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand resend" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand resend" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand reload" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand reload" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand reload" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand reload" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand reload" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand backup" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand backup" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand backup" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand backup" -l without-history -d 'Leave the history away: configuration and small state only'
complete -c plantroom -n "__fish_plantroom_using_subcommand backup" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand backup" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand restore" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand restore" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand restore" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand restore" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand restore" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand clock; and not __fish_seen_subcommand_from accept help" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand clock; and not __fish_seen_subcommand_from accept help" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand clock; and not __fish_seen_subcommand_from accept help" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand clock; and not __fish_seen_subcommand_from accept help" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand clock; and not __fish_seen_subcommand_from accept help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand clock; and not __fish_seen_subcommand_from accept help" -f -a "accept" -d 'The date that the gateway shows is right: believe it from now on'
complete -c plantroom -n "__fish_plantroom_using_subcommand clock; and not __fish_seen_subcommand_from accept help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plantroom -n "__fish_plantroom_using_subcommand clock; and __fish_seen_subcommand_from accept" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand clock; and __fish_seen_subcommand_from accept" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand clock; and __fish_seen_subcommand_from accept" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand clock; and __fish_seen_subcommand_from accept" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand clock; and __fish_seen_subcommand_from accept" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand clock; and __fish_seen_subcommand_from help" -f -a "accept" -d 'The date that the gateway shows is right: believe it from now on'
complete -c plantroom -n "__fish_plantroom_using_subcommand clock; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plantroom -n "__fish_plantroom_using_subcommand reference" -l config -d 'Directory of the configuration. Default: `config` where that is a checkout\'s, else /etc/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand reference" -l state -d 'Directory of durable state. Default: $STATE_DIRECTORY, else /var/lib/plantroom' -r -F
complete -c plantroom -n "__fish_plantroom_using_subcommand reference" -l log -d 'How the log is written' -r -f -a "auto\t'To journald where systemd runs us, else text to standard error'
text\t'Text to standard error'
json\t'JSON, one object a line, to standard error'"
complete -c plantroom -n "__fish_plantroom_using_subcommand reference" -l schema -d 'The JSON schema instead of the page'
complete -c plantroom -n "__fish_plantroom_using_subcommand reference" -l points -d 'The points of every class instead of the settings'
complete -c plantroom -n "__fish_plantroom_using_subcommand reference" -l utc -d 'Times in UTC. Default: in the site\'s time zone'
complete -c plantroom -n "__fish_plantroom_using_subcommand reference" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "demo" -d 'Run a simulated plant, a broker, journal and gateway in one process: needs no file'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "run" -d 'Run the gateway until Ctrl-C or SIGTERM'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "check" -d 'Check the configuration: every problem at once'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "read" -d 'Read a device now: values beside raw words'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "scan" -d 'Find out which units answer on a bus, and what they are'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "simulate" -d 'Run the demo\'s plant alone: real Modbus servers on loopback'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "status" -d 'Links, units, sinks, journal and clock of the running gateway'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "history" -d 'Read back the history of a point'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "energy" -d 'Consumption in a period, each figure with the two readings behind it'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "alarm" -d 'What is in alarm, and what was'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "replay" -d 'Try alarm rules on the past: what they would have raised beside what was'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "ack" -d 'Take an alarm: who takes it first owns it'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "shelve" -d 'Put an alarm aside for a time; it comes back by itself'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "test" -d 'Announce a test run of a device: nobody is told of what it raises'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "audit" -d 'Who did what, by which way: alarms, pages, rotas, the gateway itself'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "explain" -d 'Why an alarm is, or is not, and what it waits for'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "page" -d 'Page somebody for a trial; what became of every page'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "rota" -d 'Who is on call, and who stands in'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "flood" -d 'The flood level, what it follows from, and when it may go down'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "inject" -d 'Give the alarms a sample for a trial: marked TEST, never history, evidence or energy'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "set-aside" -d 'What a store refused for good: listed, sent again, discarded'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "verify" -d 'Read every file of the history once, slowly, and say what of it cannot be read'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "resend" -d 'Write a range of the history to a store again'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "reload" -d 'Load the configuration again; what did not change misses no cycle'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "backup" -d 'Keep configuration and state in one file; works beside the running gateway'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "restore" -d 'Bring a backup back: unpacked, proved by opening it, put into place'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "clock" -d 'The clock of the running gateway'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "reference" -d 'Print the reference of the configuration'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and not __fish_seen_subcommand_from demo run check read scan simulate status history energy alarm replay ack shelve test audit explain page rota flood inject set-aside verify resend reload backup restore clock reference help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from energy" -f -a "report" -d 'What each metering point or register consumed in a period, with the readings at both ends and how complete it is'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from energy" -f -a "readings" -d 'The readings that are kept of a register'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from energy" -f -a "gaps" -d 'Where a figure is not measured: gaps, boundaries that nobody has explained, what is pending'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from energy" -f -a "meters" -d 'Metering points and their meters: serial numbers, transformers, classes, calibration'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from energy" -f -a "reconcile" -d 'Main meters beside the meters below them, and whether the difference can be the meters\' errors'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from energy" -f -a "cost" -d 'What consumption costs by time-of-use tariff, and demand beside the contract; for comparison, never an invoice'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from energy" -f -a "demand" -d 'Maximum demand in blocks of the configured intervals, and in windows of any start (sliding)'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from energy" -f -a "indicators" -d 'Night base load, load factor, consumption per square metre, per cubic metre and per lift run'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from energy" -f -a "disclosure" -d 'What all owners share, with opening and closing readings, by month: for disclosure'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from energy" -f -a "export" -d 'Write everything of a period into one file: FILE.xlsx (sheets), FILE.json or FILE.csv (a row for each point and interval)'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from energy" -f -a "verify" -d 'Compute an export again from the ledger, and say which cell differs'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from energy" -f -a "classify" -d 'Say what a boundary of a register was; without a register, list the boundaries that wait for a person'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from energy" -f -a "reading" -d 'Enter a reading that was taken at the meter'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from energy" -f -a "correct" -d 'Say what was really consumed in a time'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from energy" -f -a "close" -d 'Close a month, or close it again after a change: its figures are kept as its next revision; without a month, list them'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from alarm" -f -a "list" -d 'What is not normal; `--all`: every alarm there could be'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from alarm" -f -a "show" -d 'One alarm, and why it is as it is'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from alarm" -f -a "history" -d 'What happened to the alarms: raised, acknowledged, cleared, and by whom'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from alarm" -f -a "report" -d 'How healthy the alarms were: how many, how often, how long, how late'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from alarm" -f -a "handover" -d 'Give it to somebody else, who is paged'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from alarm" -f -a "arrived" -d 'Record that somebody is on site'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from alarm" -f -a "reset" -d 'It is inspected: a latched alarm goes'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from alarm" -f -a "out" -d 'Take it out of service until it is put back'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from alarm" -f -a "back" -d 'Put it back into service'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from page" -f -a "test" -d 'Page somebody for a trial: it has to be acknowledged like any other'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from page" -f -a "log" -d 'What became of every page: who was told, through what, and why not'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from rota" -f -a "show" -d 'Who is on call when; gaps as well'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from rota" -f -a "override" -d 'Somebody stands in for whoever the plan names'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from rota" -f -a "overrides" -d 'Who stands in for whom, with numbers'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from rota" -f -a "withdraw" -d 'Take one of them back'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from flood" -f -a "set" -d 'Set a level: it holds until its time is over, whatever else says less'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from flood" -f -a "withdraw" -d 'End what was set; what else demands a level goes on'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from flood" -f -a "force-down" -d 'A manager brings the level down at once, until an input rises or the time is over'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from flood" -f -a "readiness" -d 'Whether the site could pump now: what is not ready, device by device'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from flood" -f -a "tick" -d 'Say that somebody has looked at something that only people can see, such as sandbags'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from flood" -f -a "report" -d 'What a flood was: levels, the course of each sump, who did what, alarms, water pumped; as text or a page to print'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from flood" -f -a "log" -d 'What happened: levels, warnings, and who did what'
complete -c plantroom -n "__fish_plantroom_using_subcommand help; and __fish_seen_subcommand_from clock" -f -a "accept" -d 'The date that the gateway shows is right: believe it from now on'
