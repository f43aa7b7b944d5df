//! The house: which room may import which, and what rules may not touch. The table is `docs/ARCHITECTURE.md`'s, as a test.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Room, ring, what it may import.
const ROOMS: &[(&str, &str, &[&str])] = &[
    ("model", "types", &[]),
    ("profile", "rules", &["model"]),
    ("plan", "rules", &["model", "profile"]),
    ("decode", "rules", &["model", "profile"]),
    ("derive", "rules", &["model"]),
    ("presentation", "rules", &["model"]),
    ("alarm", "rules", &["model", "presentation"]),
    ("oncall", "rules", &["model"]),
    ("engine", "rules", &["model", "derive", "alarm", "oncall", "presentation"]),
    ("report", "rules", &["model", "alarm"]),
    ("clock", "adapters", &["model"]),
    ("http", "adapters", &[]),
    ("link", "adapters", &["model", "clock"]),
    ("poll", "adapters", &["model", "profile", "plan", "decode", "link", "clock"]),
    ("scan", "adapters", &["model", "profile", "plan", "decode"]),
    ("journal", "adapters", &["model", "clock", "store"]),
    ("store", "adapters", &["model", "clock"]),
    ("sink", "adapters", &["model", "journal", "store", "clock", "http"]),
    ("channel", "adapters", &["model", "http"]),
    ("web", "adapters", &["model", "journal", "clock", "http"]),
    ("control", "adapters", &["model"]),
    ("simulate", "adapters", &["model", "profile", "clock"]),
    (
        "config",
        "application",
        &[
            "model", "profile", "plan", "decode", "derive", "alarm", "oncall", "clock", "link", "poll", "journal",
            "sink", "http", "channel", "web", "control",
        ],
    ),
    ("supervise", "application", &["clock", "model"]),
    ("app", "application", &["*"]),
    ("cli", "application", &["*"]),
];

/// What rules may not touch, and why.
const BANNED_IN_RULES: &[(&str, &str)] = &[
    ("tokio", "rules do not wait"),
    ("async ", "rules do not wait"),
    ("std::fs", "rules touch no files"),
    ("std::net", "rules touch no sockets"),
    ("std::time", "time is an argument"),
    ("Timestamp::now", "time is an argument"),
    ("tracing::", "rules return findings, they do not log"),
    ("std::env", "rules know no process"),
    ("Mutex", "rules are alone with their state"),
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, out: &mut Vec<(PathBuf, String)>) {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                out.push((path, text));
            }
        }
    }
    let mut out = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut out);
    out
}

fn room_of(path: &Path) -> String {
    let below = path.strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).unwrap();
    let first = below.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_string()
}

/// Rooms that a text imports: every `crate::<room>`, also from a list in braces.
fn imports(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for after in text.split("crate::").skip(1) {
        if let Some(list) = after.strip_prefix('{') {
            let list = list.split('}').next().unwrap_or_default();
            out.extend(list.split(',').map(|item| item.trim().split("::").next().unwrap_or_default().to_string()));
        } else {
            out.push(after.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect());
        }
    }
    out
}

#[test]
fn every_room_imports_only_what_the_table_allows() {
    let table: BTreeMap<&str, &[&str]> = ROOMS.iter().map(|(room, _, may)| (*room, *may)).collect();
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let room = room_of(&path);
        if room == "lib" || room == "main" {
            continue;
        }
        let Some(may) = table.get(room.as_str()) else {
            wrong.push(format!("{}: room `{room}` is not in the table", path.display()));
            continue;
        };
        for import in imports(&text).into_iter().filter(|i| table.contains_key(i.as_str()) && *i != room) {
            if !may.contains(&"*") && !may.contains(&import.as_str()) {
                wrong.push(format!(
                    "{}: `{room}` may not import `{import}` (it may: {})",
                    path.display(),
                    may.join(", ")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rules_touch_neither_world_nor_clock() {
    let rules: Vec<&str> =
        ROOMS.iter().filter(|(_, ring, _)| matches!(*ring, "rules" | "types")).map(|(r, ..)| *r).collect();
    let mut wrong = Vec::new();
    for (path, text) in sources().into_iter().filter(|(p, _)| rules.contains(&room_of(p).as_str())) {
        for (number, line) in text.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//")) {
            for (word, why) in BANNED_IN_RULES {
                if line.contains(word) {
                    wrong.push(format!("{}:{}: `{word}`: {why}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_unfinished_and_no_file_is_too_long() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let lines = text.lines().count();
        if lines > 500 {
            wrong.push(format!("{}: {lines} lines, at most 500: it holds more than one idea", path.display()));
        }
        for word in ["todo!(", "unimplemented!(", "FIXME", "XXX"] {
            if text.contains(word) {
                wrong.push(format!("{}: {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_house_on_paper_is_the_house() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ARCHITECTURE.md")).unwrap();
    for (room, ring, _) in ROOMS {
        let row = page.lines().find(|l| l.starts_with(&format!("| `{room}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/ARCHITECTURE.md has no row for `{room}`"));
        assert!(row.contains(&format!("| {ring} |")), "{row}");
    }
    assert!(page.lines().count() < 200, "the map stays on a table");
}
