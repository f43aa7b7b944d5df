//! Pages of the real binary: it pages, escalates, stops; nothing is lost through kill -9.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::alarms::{counting_rules, plant};
use crate::service::{Got, Mode, Service, ok};
use crate::support::*;

fn log(config: &Path, state: &Path) -> Vec<serde_json::Value> {
    serde_json::from_str(&plantroom(config, state, &["page", "log", "--format", "json"])).unwrap()
}

#[test]
fn entrapment_pages_escalates_and_stops_when_somebody_takes_it() {
    let service = Service::start();
    let plant = plant("entrapment");
    let (config, state) = (&plant.config, &plant.state);
    let text = format!(
        "[oncall]\nurl = \"http://box.example:8443\"\n\
         [[channel.ntfy]]\nid = \"push\"\nurl = \"{}\"\nreply_topic = \"answers\"\n\
         [[person]]\nid = \"wang\"\nzh = \"王工\"\nen = \"Wang\"\ncontacts = [{{ channel = \"push\", to = \"wang\" }}]\n\
         [[person]]\nid = \"li\"\nzh = \"李工\"\nen = \"Li\"\nlanguage = \"en\"\ncontacts = [{{ channel = \"push\", to = \"li\" }}]\n\
         [[rota]]\nid = \"duty\"\n[[rota.shift]]\npeople = [\"wang\"]\n\
         [[chain]]\nid = \"lifts\"\nclasses = [\"elevator\"]\npriorities = [\"P1\"]\n\
         [[chain.step]]\ntell = [\"duty\"]\nwait = \"3s\"\n[[chain.step]]\ntell = [\"person:li\"]\nwait = \"1h\"\n",
        service.url()
    );
    std::fs::write(config.join("people.toml"), text).unwrap();
    let mut running = gateway(config, state);
    let entrapment = |topic: &str| -> Option<Got> {
        let all = service.all();
        all.into_iter()
            .find(|g| g.json()["topic"] == topic && g.json()["message"].as_str().unwrap().contains("entrapment"))
    };
    let first = wait("the first page", 60, || entrapment("wang"));
    let said = first.json();
    let title = said["title"].as_str().unwrap();
    assert!(title.starts_with("[P1]") && title.contains("困人"), "where, what, what to do: {title}");
    assert_eq!((&said["priority"], said["actions"][0]["label"].as_str()), (&5.into(), Some("确认收到")));
    assert!(said["click"].as_str().unwrap().starts_with("http://box.example:8443/a/"));
    let second = wait("the second page", 20, || entrapment("li"));
    let apart = second.at - first.at;
    assert!((Duration::from_secs(2)..Duration::from_secs(10)).contains(&apart), "after three seconds: {apart:?}");
    let said = second.json();
    let title = said["title"].as_str().unwrap();
    assert!(title.starts_with("[P1]") && title.is_ascii() && title.to_lowercase().contains("trap"), "{title}");
    // She presses the button: what it posts comes back through the topic.
    let action = &said["actions"][0];
    assert_eq!(action["url"], format!("{}/answers", service.url()));
    wait("the gateway to listen", 20, || service.is_read("answers").then_some(()));
    service.press("answers", "guessed");
    service.press("answers", action["body"].as_str().unwrap());
    let taken = wait("those who were told to hear of it", 20, || {
        service
            .all()
            .into_iter()
            .find(|g| g.json()["topic"] == "wang" && g.json()["title"].as_str().unwrap().contains("已接单"))
    });
    assert!(taken.json()["title"].as_str().unwrap().contains("（李工）"), "{:?}", taken.json());
    assert!(taken.json()["actions"].is_null(), "there is nothing to answer");
    let alarms: Vec<serde_json::Value> =
        serde_json::from_str(&plantroom(config, state, &["alarm", "list", "--format", "json"])).unwrap();
    let row = alarms.iter().find(|r| r["alarm"] == "entrapment.lift-1").unwrap();
    assert!(row["state"].as_str().unwrap().starts_with("acknowledged") && row["owner"] == "li", "{row}");
    let explained = plantroom(config, state, &["explain", "entrapment.lift-1"]);
    assert!(explained.contains("li has taken it") && explained.contains("wang told through push"), "{explained}");
    // Her answer is confirmed, with a button for when she is there.
    let confirmed = wait("the confirmation", 20, || {
        service.all().into_iter().find(|g| g.json()["title"].as_str().unwrap().starts_with("YOURS NOW: "))
    });
    let there = confirmed.json()["actions"][0].clone();
    assert_eq!((&confirmed.json()["topic"], there["label"].as_str()), (&"li".into(), Some("I am there")));
    let count = service.all().len();
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(service.all().len(), count, "nobody is told any more");
    the_log_has_it(config, state);
    service.press("answers", there["body"].as_str().unwrap());
    wait("her arrival", 20, || {
        let past = plantroom(config, state, &["alarm", "history", "--format", "json"]);
        let past: Vec<serde_json::Value> = serde_json::from_str(&past).unwrap();
        past.iter().any(|r| r["what"] == "arrived" && r["why"].as_str().unwrap().contains("li")).then_some(())
    });
    a_trial(config, state, &service);
    running.stop();
    a_restart_answers_nothing_again(config, state, &service);
}

/// What was answered before a restart is not carried out and not confirmed again.
fn a_restart_answers_nothing_again(config: &Path, state: &Path, service: &Service) {
    let answers = || log(config, state).iter().filter(|r| r["what"] == "page_answered").count();
    let before = answers();
    service.hang_up();
    let mut running = gateway(config, state);
    wait("the gateway to listen again", 20, || service.is_read("answers").then_some(()));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(answers(), before);
    let repeated = service.all().into_iter().filter(|g| g.json()["title"].to_string().contains("NOTHING CHANGED"));
    assert_eq!(repeated.count(), 0);
    running.stop();
}

/// Every try and what became of it.
fn the_log_has_it(config: &Path, state: &Path) {
    let mut whats: Vec<String> = log(config, state)
        .iter()
        .filter(|r| r["alarm"] == "entrapment.lift-1")
        .map(|r| format!("{} {}", r["what"].as_str().unwrap(), r["whom"].as_str().unwrap()))
        .collect();
    // Both are on their way at once.
    let from = whats.len().saturating_sub(2);
    whats[from..].sort_by(|a, b| b.cmp(a));
    assert_eq!(
        whats,
        [
            "page_sent wang",
            "page_accepted wang",
            "page_sent li",
            "page_accepted li",
            "page_answered li",
            // Wang learns that Li has it, and Li that the answer arrived.
            "page_sent wang",
            "page_sent li",
            "page_accepted wang",
            "page_accepted li"
        ]
    );
}

/// A page for a trial, answered; somebody stands in.
fn a_trial(config: &Path, state: &Path, service: &Service) {
    let count = service.all().len();
    plantroom(config, state, &["page", "test", "wang"]);
    let test = wait("the test", 10, || service.all().get(count).cloned());
    assert!(test.json()["title"].as_str().unwrap().contains("测试"), "{:?}", test.json());
    service.press("answers", test.json()["actions"][0]["body"].as_str().unwrap());
    wait("the answer", 10, || {
        plantroom(config, state, &["explain", "page_test.wang"]).contains("wang has taken it").then_some(())
    });
    plantroom(config, state, &["rota", "override", "li", "--for", "1h"]);
    let rows: Vec<serde_json::Value> =
        serde_json::from_str(&plantroom(config, state, &["rota", "show", "--days", "2", "--format", "json"])).unwrap();
    assert_eq!(
        (&rows[0]["person"], &rows[0]["remark"], &rows[1]["person"]),
        (&"li".into(), &"stands in".into(), &"wang".into())
    );
    let overrides = || plantroom(config, state, &["rota", "overrides", "--format", "json"]);
    assert!(overrides().contains("\"number\": 1") || overrides().contains("\"number\": \"1\""), "{}", overrides());
    let refused = |args: &[&str]| {
        let mut command = std::process::Command::new(PLANTROOM);
        let out = command.arg("--config").arg(config).arg("--state").arg(state).args(args).output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (code, why) = refused(&["rota", "withdraw", "7"]);
    assert!(code == Some(69) && why.contains("there is no override 7 (1)"), "{code:?} {why}");
    plantroom(config, state, &["rota", "withdraw", "1"]);
    assert!(!overrides().contains("\"li\""), "{}", overrides());
    let (code, why) = refused(&["rota", "override", "li", "--for", "400d"]);
    assert!(code == Some(69) && why.contains("at most 14d at a time"), "{code:?} {why}");
    let (code, why) = refused(&["test", "lift-1", "--for", "30m", "--by", "wang"]);
    assert!(
        code == Some(69) && why.contains("`lift-1` has no alarm that a test run raises; known: ats-1, genset-1"),
        "{code:?} {why}"
    );
    let tested = plantroom(config, state, &["test", "genset-1", "--for", "30m", "--by", "wang"]);
    assert!(tested.contains("supplying.genset-1") && tested.contains("not_auto.genset-1"), "{tested}");
    let shelved = plantroom(config, state, &["alarm", "history", "supplying.genset-1", "--format", "json"]);
    assert!(shelved.contains("\"shelved\"") && shelved.contains("wang"), "{shelved}");
}

/// A site whose counter raises one alarm after the other, each of which pages through a webhook.
fn counting_pages(dir: &Dir, service: &Service, broker: &Mosquitto, counting: &Counting, steps: u32) {
    let people = format!(
        "[[channel.webhook]]\nid = \"hook\"\nurl = \"{}/hook\"\nsecret = \"s3cret\"\nper_min = 100000\n\
         [[person]]\nid = \"wang\"\nzh = \"王工\"\nen = \"Wang\"\nlanguage = \"en\"\ncontacts = [{{ channel = \"hook\" }}]\n\
         [[person]]\nid = \"li\"\nzh = \"李工\"\nen = \"Li\"\ncontacts = [{{ channel = \"hook\" }}]\n\
         [[chain]]\nid = \"all\"\n[[chain.step]]\ntell = [\"person:wang\"]\nwait = \"1h\"\n[alarms]\nflood_more_than = 100000\n",
        service.url()
    );
    dir.write("site.toml", &site(broker.port, "5", &format!("{}{people}", counting.config(dir, "10ms"))));
    counting_rules(dir, steps);
}

/// Page number and message of each alarm that people were told of. What is raised at the same device at once goes into one message.
fn pages_by_alarm(service: &Service) -> BTreeMap<String, Vec<(u64, Got)>> {
    let mut pages: BTreeMap<String, Vec<(u64, Got)>> = BTreeMap::new();
    for got in service.all() {
        for alarm in got.json()["alarms"].as_array().unwrap() {
            let key = alarm["alarm"].as_str().unwrap().to_string();
            pages.entry(key).or_default().push((alarm["page"].as_u64().unwrap(), got.clone()));
        }
    }
    pages
}

#[test]
fn reloads_while_people_are_paged_lose_and_double_no_page() {
    let (broker, counting, dir, service) =
        (Mosquitto::start(), Counting::start(), Dir::new("reloads"), Service::start());
    counting_pages(&dir, &service, &broker, &counting, 120);
    let state = dir.path("state");
    let site = std::fs::read_to_string(dir.path("site.toml")).unwrap();
    let site = format!("{site}[oncall]\ngather = \"0s\"\n");
    dir.write("site.toml", &site);
    let mut running = gateway(&dir.0, &state);
    is_up(&state);
    let raised: Vec<String> = (1..=120).map(|k| format!("at_{k}.counter")).collect();
    let all_told = || {
        let pages = pages_by_alarm(&service);
        raised.iter().all(|k| pages.contains_key(k))
    };
    let mut reloads = 0;
    while !all_told() && reloads < 40 {
        // The channel is made anew, a rule that waits for its limit gets another priority, a person another name.
        let (per_min, name) = (100_000 - reloads % 2, ["王工", "王师傅"][reloads % 2]);
        dir.write(
            "site.toml",
            &site.replace("per_min = 100000", &format!("per_min = {per_min}")).replace("王工", name),
        );
        let rules = std::fs::read_to_string(dir.path("alarms/own.toml")).unwrap();
        let (was, is) = if reloads % 2 == 0 { ("P2", "P1") } else { ("P1", "P2") };
        let never = rules.find("[rules.never]").unwrap();
        let (before, after) = rules.split_at(never);
        dir.write("alarms/own.toml", &format!("{before}{}", after.replacen(was, is, 1)));
        let done = plantroom(&dir.0, &state, &["reload"]);
        assert!((reloads == 0 || done.contains("channel hook started")) && done.contains("never"), "{done}");
        reloads += 1;
        std::thread::sleep(Duration::from_millis(150));
    }
    // Whoever was on the way at the last reload is told after it.
    wait("every page", 120, || all_told().then_some(()));
    assert!(reloads > 5, "only {reloads} reloads met a page");
    std::thread::sleep(Duration::from_secs(1));
    running.stop();
    for (key, pages) in pages_by_alarm(&service) {
        let (first, _) = pages[0];
        assert!(pages.iter().all(|(id, _)| *id == first), "{key}: one page");
        let repeated =
            pages[1..].iter().all(|(_, got)| got.json()["title"].as_str().unwrap().starts_with("(perhaps again)"));
        assert!(repeated, "{key}: who gets it twice can tell");
    }
}

#[test]
fn kill_9_between_decision_and_delivery_loses_no_page() {
    let (broker, counting, dir, service) = (Mosquitto::start(), Counting::start(), Dir::new("pages"), Service::start());
    counting_pages(&dir, &service, &broker, &counting, 200);
    let site = std::fs::read_to_string(dir.path("site.toml")).unwrap();
    dir.write("site.toml", &format!("{site}[oncall]\ngather = \"0s\"\n"));
    let state = dir.path("state");
    for round in 0..8u64 {
        // In every other round the service takes pages and does not answer before the end.
        service.set(if round % 2 == 0 { ok() } else { Mode::Hangs });
        let before = service.all().len();
        let mut running = gateway(&dir.0, &state);
        wait("a page", 30, || (service.all().len() > before).then_some(()));
        std::thread::sleep(Duration::from_millis(round * 137 % 500));
        running.kill();
    }
    service.set(ok());
    let mut running = gateway(&dir.0, &state);
    let raised: Vec<String> = (1..=200).map(|k| format!("at_{k}.counter")).collect();
    wait("every page", 60, || {
        let pages = pages_by_alarm(&service);
        raised.iter().all(|k| pages.contains_key(k)).then_some(())
    });
    std::thread::sleep(Duration::from_secs(1));
    running.stop();
    for (key, pages) in pages_by_alarm(&service) {
        let (first, _) = pages[0];
        assert!(pages.iter().all(|(id, _)| *id == first), "{key}: whoever gets it twice can tell");
        for (_, again) in &pages[1..] {
            assert!(again.json()["title"].as_str().unwrap().starts_with("(perhaps again)"), "{key}: {}", again.body);
        }
    }
    let is_again = |g: &Got| g.json()["title"].as_str().unwrap().starts_with("(perhaps again)");
    let repeated = service.all().iter().filter(|g| is_again(g)).count();
    assert!(repeated > 0, "some answers were not seen");
    assert!(repeated <= 16, "two on their way at each of eight kills at most: {repeated}");
    // Signed: a program that was told can know who told it.
    let got = &service.all()[0];
    let (at, signature) = (got.header("x-plantroom-timestamp"), got.header("x-plantroom-signature"));
    assert_eq!(signature, plantroom::channel::webhook::sign("s3cret", at.parse().unwrap(), &got.body));
}

fn curl(args: &[&str]) -> (String, String) {
    let out =
        std::process::Command::new("curl").args(["-s", "-S", "-w", "\n%{http_code}"]).args(args).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let (body, code) = text.rsplit_once('\n').unwrap();
    (code.to_string(), body.to_string())
}

#[test]
fn the_door_shows_the_alarm_and_one_button() {
    let (broker, counting, dir, service) = (Mosquitto::start(), Counting::start(), Dir::new("door"), Service::start());
    counting_pages(&dir, &service, &broker, &counting, 2);
    let door = free_port();
    let site = std::fs::read_to_string(dir.path("site.toml")).unwrap();
    dir.write("token", "0123456789abcdef0123456789abcdef\n");
    dir.write("reader", "a-token-that-may-only-read\n");
    let more = format!(
        "[oncall]\nurl = \"http://127.0.0.1:{door}\"\nprocedure = \"https://wiki.example/{{rule}}?d={{device}}\"\n\
         [[oncall.phone]]\nzh = \"消控室\"\nen = \"Control room\"\nnumber = \"+86 21 1234-5678\"\n\
         [[oncall.phone]]\nzh = \"电梯维保\"\nen = \"Lift firm\"\nnumber = \"1234\"\nclasses = [\"elevator\"]\n[web]\nlisten = \"127.0.0.1:{door}\"\n\
         [[web.token]]\nid = \"scada\"\nmay = \"acknowledge\"\ntoken_file = \"{0}/token\"\n\
         [[web.token]]\nid = \"wall\"\ntoken_file = \"{0}/reader\"\n",
        dir.0.display()
    );
    dir.write("site.toml", &format!("{site}{more}"));
    let state = dir.path("state");
    let mut running = gateway(&dir.0, &state);
    let of = |key: &str| service.all().into_iter().find(|g| g.json()["alarms"][0]["alarm"] == key);
    let first = wait("the page", 30, || of("at_1.counter")).json();
    let link = first["link"].as_str().unwrap().to_string();
    // A preview of a messenger looks at it, as often as it likes.
    for _ in 0..3 {
        let (code, page) = curl(&[&link]);
        assert_eq!(code, "200");
        assert!(
            page.contains("<form method=\"post\">") && page.contains("I take it") && page.contains("Counter is at"),
            "{page}"
        );
    }
    let list = || plantroom(&dir.0, &state, &["alarm", "list", "--format", "json"]);
    assert!(list().contains("\"unacknowledged\""), "looking changes nothing");
    let (code, page) = curl(&["-X", "POST", &link]);
    assert!(code == "200" && page.contains("It is yours now") && !page.contains("\"acknowledge\""), "{code} {page}");
    let (code, page) = curl(&["-X", "POST", &link]);
    assert!(code == "409" && page.contains("answered already"), "a token writes once: {code} {page}");
    let (code, page) = curl(&[&link]);
    assert!(code == "200" && page.contains("acknowledged") && page.contains("Wang"), "and can be read: {page}");
    more_answers(&link);
    let guessed = format!("{}AAAA", &link[..link.len() - 4]);
    assert_eq!(curl(&[&guessed]).0, "410");
    assert_eq!(curl(&["-X", "POST", &guessed]).0, "410");
    programs(door, &|| wait("the other", 30, || of("at_2.counter")));
    limits(door);
    running.stop();
}

/// Arrival, hand-over, shelving and reset; telephone, procedure, and who was told.
fn more_answers(link: &str) {
    let (_, page) = curl(&[link]);
    for part in [
        "href=\"tel:+862112345678\"",
        "☎ Control room +86 21 1234-5678",
        "href=\"https://wiki.example/at_1?d=counter\"",
        "who was told",
        "value=\"arrive\"",
        "<option value=\"li\">Li</option>",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let post = |form: &str| curl(&["-X", "POST", "-d", form, link]);
    let (code, page) = post("do=reset&note=x");
    assert!(code == "409" && page.contains("Nothing changed</b>: it is not latched"), "{code} {page}");
    let (code, page) = post("do=hand_over&to=lee");
    assert!(code == "409" && page.contains("there is no person `lee`; did you mean `li`?"), "{code} {page}");
    let (code, page) = post("do=shelve&hours=999999");
    assert!(code == "409" && page.contains("at most 7d at a time"), "{code} {page}");
    assert_eq!(post("do=explode").0, "400");
    let (code, page) = post("do=arrive");
    assert!(code == "200" && page.contains("Noted: you are there") && page.contains("somebody is there"), "{page}");
    assert!(!page.contains("value=\"arrive\""), "once: {page}");
    let (code, page) = post("do=hand_over&to=li&note=shift+ends");
    assert!(code == "200" && page.contains("Handed over") && page.contains("shift ends"), "{code} {page}");
}

/// Programs have tokens of their own.
fn programs(door: u16, there: &dyn Fn() -> Got) {
    there();
    let url = |path: &str| format!("http://127.0.0.1:{door}/api/v1/{path}");
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let (reads, takes) = (bearer("a-token-that-may-only-read"), bearer("0123456789abcdef0123456789abcdef"));
    assert_eq!(curl(&[&url("alarms")]).0, "401");
    assert_eq!(curl(&["-H", &bearer("guessed-guessed-guessed"), &url("alarms")]).0, "401");
    let (code, body) = curl(&["-H", &reads, &url("alarms")]);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&body).unwrap();
    assert!(code == "200" && rows.iter().any(|r| r["key"] == "at_2.counter"), "{body}");
    let take = url("alarms/at_2.counter/acknowledge");
    assert_eq!(curl(&["-X", "POST", "-H", &reads, &take]).0, "403");
    let (code, body) = curl(&["-X", "POST", "-H", &takes, "-d", "{\"note\": \"seen\"}", &take]);
    assert_eq!(code, "204", "{body}");
    let (code, body) = curl(&["-X", "POST", "-H", &takes, &take]);
    assert!(code == "409" && body.contains("acknowledged already, by scada"), "{code} {body}");
    let there = url("alarms/at_2.counter/arrive");
    assert_eq!(curl(&["-X", "POST", "-H", &reads, &there]).0, "403");
    assert_eq!(curl(&["-X", "POST", "-H", &takes, &there]).0, "204");
    let (code, body) = curl(&["-X", "POST", "-H", &takes, &there]);
    assert!(code == "409" && body.contains("somebody is there already"), "{code} {body}");
    assert_eq!(curl(&["-X", "POST", "-H", &takes, "-d", "{", &url("alarms/x/acknowledge")]).0, "400");
}

/// What is too large or too slow is sent away, and nobody else waits for it.
fn limits(door: u16) {
    use std::io::{Read as _, Write as _};
    let large = "x".repeat(40_000);
    let (code, _) =
        curl(&["-X", "POST", "-d", &large, &format!("http://127.0.0.1:{door}/api/v1/alarms/x/acknowledge")]);
    assert!(code == "413" || code == "401", "{code}");
    let mut slow: Vec<std::net::TcpStream> =
        (0..70).map(|_| std::net::TcpStream::connect(("127.0.0.1", door)).unwrap()).collect();
    // Those beyond eight of one address are sent away at once.
    slow.iter_mut().for_each(|s| drop(s.write_all(b"GET /a/x HTTP/1.1\r\nhost: x\r\n")));
    let (code, _) = curl(&["-m", "2", "--interface", "127.0.0.2", &format!("http://127.0.0.1:{door}/a/x")]);
    assert_eq!(code, "410", "others are served meanwhile");
    wait("slow ones to be sent away", 20, || {
        let (code, _) = curl(&["-m", "2", &format!("http://127.0.0.1:{door}/a/x")]);
        (code == "410").then_some(())
    });
    let mut byte = [0u8; 1];
    slow[0].set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let _timeout_or_end = slow[0].read(&mut byte);
}

/// Publishes a command and waits for its answer.
fn command(port: u16, what: &str, payload: &str) -> String {
    let out = std::process::Command::new("mosquitto_rr")
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-V", "mqttv5", "-q", "1", "-W", "10"])
        .args(["-t", &format!("plantroom/test/command/{what}"), "-e", "plantroom/test/response/1", "-m", payload])
        .output()
        .expect("mosquitto_rr: run scripts/setup-tests.sh");
    String::from_utf8_lossy(&out.stdout).trim().to_string()
}

#[test]
fn a_command_through_the_broker_takes_an_alarm_and_is_answered() {
    let (broker, counting, dir) = (Mosquitto::start(), Counting::start(), Dir::new("commands"));
    let text = site(broker.port, "5", &counting.config(&dir, "100ms"));
    dir.write("site.toml", &text.replace("version = \"5\"", "version = \"5\"\ncommands = true"));
    let people = "[[channel.command]]\nid = \"none\"\nprogram = \"/bin/true\"\n\
         [[person]]\nid = \"wang\"\nzh = \"王工\"\nen = \"Wang\"\ncontacts = [{ channel = \"none\" }]\n\
         [[person]]\nid = \"li\"\nzh = \"李工\"\nen = \"Li\"\ncontacts = [{ channel = \"none\" }]\n";
    dir.write("people.toml", people);
    counting_rules(&dir, 1);
    let state = dir.path("state");
    let subscriber = Subscriber::start(broker.port, "plantroom/#", "mqttv5");
    let mut running = gateway(&dir.0, &state);
    let topic = "plantroom/test/alarm/at_1.counter";
    wait("the alarm", 30, || subscriber.newest(topic));
    let ask = |payload: &str| command(broker.port, "acknowledge", payload);
    let arrive = |payload: &str| command(broker.port, "arrive", payload);
    assert!(ask("{").contains("that is no command"));
    assert!(ask("{\"alarm\": \"at_1.counter\"}").contains("alarm and by are wanted"));
    assert!(ask("{\"alarm\": \"at_2.counter\", \"by\": \"wang\"}").contains("there is no alarm"));
    assert!(
        ask("{\"alarm\": \"at_1.counter\", \"by\": \"wong\"}")
            .contains("there is no person `wong`; did you mean `wang`")
    );
    assert!(ask("{\"token\": \"guessed\"}").contains("no page of ours"));
    assert_eq!(ask("{\"alarm\": \"at_1.counter\", \"by\": \"wang\", \"note\": \"seen\"}"), "{\"ok\":true}");
    wait("the broker to know", 10, || (subscriber.newest(topic)?["owner"] == "wang").then_some(()));
    assert!(ask("{\"alarm\": \"at_1.counter\", \"by\": \"li\"}").contains("acknowledged already, by wang"));
    assert!(arrive("{\"token\": \"guessed\"}").contains("no page of ours"));
    assert_eq!(arrive("{\"alarm\": \"at_1.counter\", \"by\": \"wang\"}"), "{\"ok\":true}");
    assert!(arrive("{\"alarm\": \"at_1.counter\", \"by\": \"wang\"}").contains("somebody is there already"));
    only_its_owner_reads_the_state(&state);
    let published = std::process::Command::new("mosquitto_pub")
        .args(["-h", "127.0.0.1", "-p", &broker.port.to_string(), "-V", "mqttv5", "-q", "1", "-m", "{"])
        .args(["-t", "plantroom/test/command/acknowledge", "-D", "publish", "response-topic", "plantroom/elsewhere"])
        .status();
    assert!(published.unwrap().success());
    assert!(ask("{").contains("that is no command"), "that one is answered after the other");
    assert!(subscriber.newest("plantroom/elsewhere").is_none(), "an answer goes below response/ only");
    running.stop();
}

/// Whoever runs it, under whatever umask.
fn only_its_owner_reads_the_state(state: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(state), 0o700);
    for name in ["store.db", "journal"] {
        let path = state.join(name);
        assert_eq!(mode(&path), if path.is_dir() { 0o700 } else { 0o600 }, "{name}");
    }
    let inside = std::fs::read_dir(state.join("journal")).unwrap().flatten().filter(|e| e.path().is_file());
    inside.for_each(|e| assert_eq!(mode(&e.path()), 0o600, "{}", e.path().display()));
}

/// A broker that takes the connection and refuses every subscription.
fn refusing_broker() -> u16 {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut bytes = [0u8; 4_096];
                while let Ok(n) = stream.read(&mut bytes) {
                    let answer: &[u8] = match bytes[..n].first() {
                        Some(0x10) => &[0x20, 3, 0, 0, 0],
                        Some(0x82) => &[0x90, 4, bytes[2], bytes[3], 0, 0x87],
                        Some(_) => continue,
                        None => return,
                    };
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

#[test]
fn ways_by_which_answers_cannot_be_heard_are_said() {
    let (counting, dir, service) = (Counting::start(), Dir::new("deaf"), Service::start());
    let people = format!(
        "commands = true\n[oncall]\nurl = \"http://box.example:8443\"\n\
         [[channel.ntfy]]\nid = \"push\"\nurl = \"{}\"\nreply_topic = \"forbidden\"\n\
         [[channel.sms]]\nid = \"sms\"\nport = \"/dev/there-is-no-modem\"\n\
         [[person]]\nid = \"wang\"\nzh = \"王工\"\nen = \"Wang\"\ncontacts = [{{ channel = \"push\", to = \"wang\" }}]\n\
         [[chain]]\nid = \"all\"\n[[chain.step]]\ntell = [\"person:wang\"]\nwait = \"1h\"\n\
         [[alarm]]\nrule = \"gateway.replies_unheard\"\ndevices = [\"gateway\"]\nset = {{ on_delay = \"1s\" }}\n",
        service.url()
    );
    dir.write("site.toml", &site(refusing_broker(), "5", &format!("{people}{}", counting.config(&dir, "100ms"))));
    counting_rules(&dir, 1);
    let state = dir.path("state");
    let check = || {
        let mut command = std::process::Command::new(PLANTROOM);
        command.arg("--config").arg(&dir.0).arg("--state").arg(&state).args(["check", "--online"]);
        let out = command.output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    let (code, said) = check();
    assert_eq!(code, Some(75), "{said}");
    for part in
        ["push: CANNOT BE HEARD: topic forbidden: HTTP 403", "sms: CANNOT BE HEARD: the modem", "mqtt broker: CANNOT"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    let mut running = gateway(&dir.0, &state);
    // The button goes to the page instead; the alarm says the same to people.
    let said = wait("the alarm", 60, || {
        let all = service.all();
        all.into_iter()
            .map(|g| g.json())
            .find(|j| j["message"].as_str().unwrap_or_default().contains("replies_unheard"))
    });
    assert!(said["title"].as_str().unwrap().contains("条答复通道收不到答复"), "{said}");
    assert!(said["actions"][0]["url"].as_str().unwrap().starts_with("http://box.example:8443/a/"), "{said}");
    let status = wait("three ways", 60, || {
        let said = plantroom(&dir.0, &state, &["status"]);
        (said.matches("CANNOT BE HEARD").count() == 3).then_some(said)
    });
    assert!(status.contains("ANSWERS THROUGH mqtt broker CANNOT BE HEARD: plantroom/test/command/#"), "{status}");
    assert!(status.contains("; use the link in the message"), "{status}");
    assert_eq!(check().0, Some(75), "the running gateway is asked");
    running.stop();
}

#[test]
fn an_answer_by_short_message_takes_an_alarm() {
    let (broker, counting, dir) = (Mosquitto::start(), Counting::start(), Dir::new("sms"));
    let modem = crate::channels::FakeModem::start(&dir);
    let people = format!(
        "[[channel.sms]]\nid = \"sms\"\nport = \"{}\"\n\
         [[person]]\nid = \"wang\"\nzh = \"王工\"\nen = \"Wang\"\ncontacts = [{{ channel = \"sms\", to = \"13800001111\" }}]\n\
         [[chain]]\nid = \"all\"\n[[chain.step]]\ntell = [\"person:wang\"]\nwait = \"1h\"\n",
        modem.path
    );
    dir.write("site.toml", &site(broker.port, "5", &format!("{}{people}", counting.config(&dir, "100ms"))));
    counting_rules(&dir, 1);
    let state = dir.path("state");
    let mut running = gateway(&dir.0, &state);
    wait("a message", 30, || modem.heard.lock().unwrap().iter().any(|h| h.starts_with("0011")).then_some(()));
    modem.inbox.lock().unwrap().push("0891683108200505F0040D91683108001011F10000622111028540230131".into());
    wait("the answer", 20, || {
        let list = plantroom(&dir.0, &state, &["alarm", "list", "--format", "json"]);
        list.contains("\"owner\": \"wang\"").then_some(())
    });
    assert!(modem.inbox.lock().unwrap().is_empty(), "what is read is taken off the card");
    let said = |n: usize| wait("a message", 20, || modem.texts().get(n).cloned());
    let (first, answer) = (said(0), said(1));
    let code: String =
        first.chars().rev().filter(char::is_ascii_digit).take(2).collect::<Vec<_>>().iter().rev().collect();
    assert!(first.ends_with(&format!("回{code}确认")), "{first}");
    assert!(answer.starts_with("已确认，由你负责：") && answer.contains("到场回2-"), "{answer}");
    // The same number says 2: it is there.
    modem.inbox.lock().unwrap().push("0891683108200505F0040D91683108001011F10000622111028540230132".into());
    assert!(said(2).starts_with("已记录到场："), "{:?}", modem.texts());
    assert!(plantroom(&dir.0, &state, &["alarm", "history", "--format", "json"]).contains("\"arrived\""));
    // What means no alarm changes nothing, and the sender hears that; 3 is no answer.
    modem.inbox.lock().unwrap().push("0891683108200505F0040D91683108001011F10000622111028540230133".into());
    assert_eq!(said(3), "没有变化：没有告警与“3”对应。请回复短信中的两位数。");
    running.stop();
}
