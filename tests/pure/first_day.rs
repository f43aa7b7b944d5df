//! What people write on their first day with the program, and what it answers.

use plantroom::config;
use plantroom::config::doc::Texts;

const SITE: &str = "[site]\nid = \"s\"\nen = \"Site\"\ntime_zone = \"UTC\"\n";
const UNIT: &str = "[[unit]]\nid = \"u\"\nlink = \"l\"\naddress = 1\nprofile = \"eastron-sdm630\"\n";
const DEVICE: &str = "[[device]]\nid = \"d\"\nclass = \"meter\"\nzh = \"表\"\nunit = \"u\"\n";

fn said(text: &str) -> String {
    let loaded = config::load_texts(&Texts { files: vec![("a.toml".into(), text.into())] }, None);
    loaded.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What is said of a site with this link, a unit and a device.
fn said_of_link(link: &str) -> String {
    said(&format!("{SITE}{link}{UNIT}{DEVICE}"))
}

#[test]
fn one_language_is_enough() {
    let text = format!("{SITE}[[link.tcp]]\nid = \"l\"\nhost = \"h\"\n{UNIT}{DEVICE}");
    let loaded = config::load_texts(&Texts { files: vec![("a.toml".into(), text.clone())] }, None);
    assert_eq!(loaded.problems, vec![]);
    let configuration = loaded.configuration.unwrap();
    assert_eq!((&*configuration.site.zh, &*configuration.site.en), ("Site", "Site"));
    let device = &configuration.devices["d"];
    assert_eq!((&*device.zh, &*device.en), ("表", "表"));
    assert_eq!(
        said(&text.replace("zh = \"表\"\n", "")),
        "a.toml:13:1: error: there is no name\n  hint: zh = \"…\" or en = \"…\", or both"
    );
}

#[test]
fn a_host_is_a_name_or_an_address() {
    for (host, hint) in [
        ("tcp://192.0.2.1", "host = \"192.0.2.1\""),
        ("tcp://192.0.2.1:503", "host = \"192.0.2.1\", port = 503"),
        ("192.0.2.1:502", "host = \"192.0.2.1\", port = 502"),
        ("[2001:db8::1]:503", "host = \"[2001:db8::1]\", port = 503"),
        ("http://meter.example/", "host = \"meter.example\""),
    ] {
        assert_eq!(
            said_of_link(&format!("[[link.tcp]]\nid = \"l\"\nhost = \"{host}\"\n")),
            format!("a.toml:7:8: error: `{host}` is no host: a name or an address alone\n  hint: {hint}")
        );
    }
    for host in ["192.0.2.1", "meter.example", "::1", "[2001:db8::1]", "fe80::1%eth0"] {
        assert_eq!(said_of_link(&format!("[[link.tcp]]\nid = \"l\"\nhost = \"{host}\"\n")), "", "{host}");
    }
}

#[test]
fn a_port_of_windows_is_named_as_that() {
    let text = said_of_link("[[link.serial]]\nid = \"l\"\nport = \"COM3\"\nbaud = \"9600\"\n");
    assert_eq!(
        text,
        "a.toml:8:8: error: `baud` is the text \"9600\"; a whole number of 0 or more belongs here\n  \
         hint: without quotes: baud = 9600"
    );
    let text = said_of_link("[[link.serial]]\nid = \"l\"\nport = \"COM3\"\n");
    assert!(
        text.starts_with("a.toml:7:8: error: COM3 is a port's name under Windows\n  hint: ls -l /dev/serial/by-id"),
        "{text}"
    );
}

#[test]
fn an_error_of_a_unit_is_not_followed_by_those_of_its_devices() {
    let link = "[[link.tcp]]\nid = \"l\"\nhost = \"h\"\n";
    let text = said(&format!("{SITE}{link}{}{DEVICE}", UNIT.replace("eastron-sdm630", "sdm630")));
    assert_eq!(text, "a.toml:12:11: error: unknown profile `sdm630`\n  hint: did you mean `eastron-sdm630`?");
    for address in ["300", "-1", "\"1\"", "1.5"] {
        let text =
            said(&format!("{SITE}{link}{}{DEVICE}", UNIT.replace("address = 1", &format!("address = {address}"))));
        assert!(text.starts_with("a.toml:11:11: error: `address` is "), "{text}");
        assert!(text.contains("; a number from 1 to 247 (over TCP also 0 and 255) belongs here"), "{text}");
        assert_eq!(text.matches("error").count(), 1, "{text}");
    }
}

/// What is said of a profile of holding registers with these lines in `[read]`, and a point at an address.
fn said_of_profile(read: &str, address: &str) -> String {
    let dir = std::env::temp_dir().join(format!("plantroom-first-day-{}-{address}{}", std::process::id(), read.len()));
    std::fs::create_dir_all(dir.join("profiles")).unwrap();
    let profile = format!(
        "format = 1\nname = \"own\"\nmaker = \"m\"\nmodel = \"m\"\nclass = \"meter\"\nsource = \"s\"\nchecked_on_hardware = true\n\
         [read]\nfunction = 3\n{read}[groups]\nfast = \"1s\"\n[points.power_kw]\naddress = {address}\ntype = \"u16\"\n"
    );
    std::fs::write(dir.join("profiles/own.toml"), profile).unwrap();
    let loaded = config::load_texts(&Texts { files: vec![("site.toml".into(), SITE.into())] }, Some(&dir));
    std::fs::remove_dir_all(&dir).unwrap();
    let lines: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    lines.join("\n").replace(&format!("{}/", dir.display()), "")
}

#[test]
fn numbers_of_a_manual_are_told_from_addresses() {
    assert!(
        said_of_profile("", "400003").contains(
            "error: address 400003 is beyond 65535\n  \
             hint: as a manual's number it is holding register 3: function = 3, base = 1, address = 3"
        ),
        "{}",
        said_of_profile("", "400003")
    );
    assert!(
        said_of_profile("", "40003").contains(
            "warning: all addresses are read as they are, from 40003 on; many manuals mean by 40001 the first register\n  \
             hint: base = 40001 in [read] if yours does, base = 0 if these are wire addresses"
        ),
        "{}",
        said_of_profile("", "40003")
    );
    // Without a table `[read]` the file is named.
    assert!(said_of_profile("", "40003").starts_with("profiles/own.toml:"), "{}", said_of_profile("", "40003"));
    assert_eq!(said_of_profile("base = 0\n", "40003"), "");
    assert_eq!(said_of_profile("base = 40001\n", "40003"), "");
    assert_eq!(said_of_profile("", "40"), "");
}

#[test]
fn quotes_and_units_that_are_missing_are_shown_where_they_belong() {
    let link = "[[link.tcp]]\nid = \"l\"\nhost = 192.0.2.1 # the meter\n";
    assert_eq!(
        said_of_link(link),
        "a.toml:7:13: error: not TOML: invalid float, expected nothing\n  hint: put it in quotes: host = \"192.0.2.1\""
    );
    let said_of = |line: &str| said_of_link(&format!("[[link.tcp]]\nid = \"l\"\nhost = {line}\n"));
    assert!(said_of("meter.local").contains("hint: put it in quotes: host = \"meter.local\""));
    // The log has every hint: what may be a secret is not in it.
    let secret = said(&format!("{SITE}[[sink.mqtt]]\nname = \"b\"\nurl = mqtt://me:geheim@h\npassword = geheim\n"));
    assert!(secret.matches("= \"…\"").count() == 2 && !secret.contains("geheim"), "{secret}");
    for half in ["\"meter", "[\"a\"", "{ x = meter }", ""] {
        assert!(!said_of(half).contains("put it in quotes"), "{half}: {}", said_of(half));
    }
    // What is not closed is one error, not one in each line after it.
    assert_eq!(said_of("[\"a\"").matches("error").count(), 1, "{}", said_of("[\"a\""));
    let twice = said(&format!("{SITE}[[link.tcp]]\nid = l\nhost = \"h\"\nhost = \"i\"\n"));
    assert!(twice.contains("duplicate") && twice.matches("error").count() == 2, "{twice}");
    let two = said(&format!("{SITE}[[link.tcp]]\nid = l\nhost = \"h\"\nport = 5 0 2\n"));
    assert_eq!(two.matches("error").count(), 2, "{two}");
    let link = "[[link.tcp]]\nid = \"l\"\nhost = \"h\"\n";
    assert_eq!(
        said(&format!("{SITE}{link}{UNIT}groups = {{ fast = 5 }}\n{DEVICE}")),
        "a.toml:13:19: error: `fast` is 5; a length of time belongs here\n  \
         hint: with its unit, in quotes: fast = \"5s\" for seconds"
    );
}
