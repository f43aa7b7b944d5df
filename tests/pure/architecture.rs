//! The house: which room may import which, and what rules may not touch. The table is `docs/ARCHITECTURE.md`'s, as a test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Room, ring, what it may import.
const ROOMS: &[(&str, &str, &[&str])] = &[
    ("model", "types", &[]),
    ("profile", "rules", &["model"]),
    ("plan", "rules", &["model", "profile"]),
    ("decode", "rules", &["model", "profile"]),
    ("derive", "rules", &["model"]),
    ("energy", "rules", &["model"]),
    ("flood", "rules", &["model"]),
    ("presentation", "rules", &["model"]),
    ("alarm", "rules", &["model", "presentation"]),
    ("oncall", "rules", &["model"]),
    ("engine", "rules", &["model", "derive", "energy", "flood", "alarm", "oncall", "presentation"]),
    ("report", "rules", &["model", "alarm", "energy"]),
    ("lock", "adapters", &[]),
    ("clock", "adapters", &["model", "lock"]),
    ("http", "adapters", &["model"]),
    ("link", "adapters", &["model", "clock", "lock"]),
    ("poll", "adapters", &["model", "profile", "plan", "decode", "link", "clock", "lock"]),
    ("scan", "adapters", &["model", "profile", "plan", "decode"]),
    ("journal", "adapters", &["model", "clock", "store", "lock"]),
    ("store", "adapters", &["model", "clock"]),
    ("ledger", "adapters", &["model", "energy", "journal", "store"]),
    ("sink", "adapters", &["model", "journal", "store", "clock", "http", "lock"]),
    ("channel", "adapters", &["model", "http", "lock"]),
    ("intake", "adapters", &["model", "clock", "http"]),
    ("web", "adapters", &["model", "journal", "clock", "http", "lock"]),
    ("control", "adapters", &["model"]),
    ("simulate", "adapters", &["model", "profile", "clock", "lock"]),
    (
        "config",
        "application",
        &[
            "model", "profile", "plan", "decode", "derive", "alarm", "oncall", "energy", "flood", "clock", "link",
            "poll", "journal", "sink", "http", "channel", "intake", "web", "control",
        ],
    ),
    ("supervise", "application", &["clock", "model", "lock"]),
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

/// The last parameter of each `Result<…>` in a text.
fn error_types(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    for after in text.split("Result<").skip(1) {
        let (mut depth, mut last) = (0, String::new());
        for c in after.chars() {
            match c {
                '>' if depth == 0 => break,
                ',' if depth == 0 => last.clear(),
                _ => last.push(c),
            }
            depth += i32::from("<([".contains(c)) - i32::from(">)]".contains(c));
        }
        out.push(last.trim().to_string());
    }
    out
}

#[test]
fn errors_have_types_with_a_kind_but_in_the_command_line() {
    assert_eq!(error_types("Result<Vec<(A, B)>, String> Result<BTreeMap<A, String>, E>"), ["String", "E"]);
    let rooms = sources().into_iter().filter(|(path, _)| room_of(path) != "cli");
    let wrong: Vec<String> = rooms
        .filter(|(_, text)| error_types(text).iter().any(|error| error == "String"))
        .map(|(path, _)| {
            format!("{}: a `Result` whose error is a text: it needs the room's error and its kind", path.display())
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Rooms whose tasks share the thread that polls, and rules: no file access there. `clippy.toml` bans the calls; this test bans the
/// exception.
const WITHOUT_FILES: &[&str] = &["channel", "web", "sink", "control", "engine", "poll", "supervise"];

#[test]
fn only_the_clock_asks_for_the_time_and_files_stay_in_their_rooms() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let room = room_of(&path);
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        let code = product.lines().enumerate().filter(|(_, l)| !l.trim_start().starts_with("//"));
        for (number, line) in code {
            let asks = ["SystemTime::now", "Timestamp::now", "Zoned::now", "std::time::Instant"];
            let imports = line.contains("std::time::{") && line.contains("Instant");
            if room != "clock" && (imports || asks.iter().any(|word| line.contains(word))) {
                wrong.push(format!("{}:{}: only `clock` asks for the time", path.display(), number + 1));
            }
            if WITHOUT_FILES.contains(&room.as_str()) && line.contains("allow(clippy::disallowed_methods") {
                wrong.push(format!("{}:{}: `{room}` never waits for a file", path.display(), number + 1));
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

/// Files below `src` that a file names by their path, as `crate::room::file`.
fn named_files(text: &str, files: &BTreeMap<String, PathBuf>) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
    let code: String =
        shipped.lines().filter(|l| !l.trim_start().starts_with("//")).map(|l| format!("{l}\n")).collect();
    for after in code.split("crate::").skip(1) {
        let path: String = after.chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
        let parts: Vec<&str> = path.trim_end_matches(':').split("::").collect();
        let longest = (1..=parts.len()).rev().map(|n| parts[..n].join("/")).find(|name| files.contains_key(name));
        if let Some(name) = longest {
            out.insert(name);
        } else if let Some((_, list)) = after.split_once('{').filter(|(head, _)| *head == path) {
            let items = list.split('}').next().unwrap_or_default().split(',');
            let full = items.map(|item| format!("{}{}", path.replace("::", "/"), item.trim().replace("::", "/")));
            let is_of = |name: &str, file: &str| {
                name.strip_prefix(file).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            out.extend(full.filter_map(|name| files.keys().rfind(|file| is_of(&name, file)).cloned()));
        }
    }
    out
}

#[test]
fn files_of_a_room_know_each_other_in_one_direction() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let name_of = |path: &Path| {
        path.strip_prefix(&src).unwrap().with_extension("").to_string_lossy().trim_end_matches("/mod").to_string()
    };
    // The head of a folder imports its files and is imported by them. Where it holds a list of kinds, kinds must not know it.
    let is_head = |(path, text): &(PathBuf, String)| path.ends_with("mod.rs") && !text.contains("macro_rules!");
    let all = sources().into_iter().filter(|file| !is_head(file));
    let texts: BTreeMap<String, (PathBuf, String)> = all.map(|(path, text)| (name_of(&path), (path, text))).collect();
    let files = texts.iter().map(|(name, (path, _))| (name.clone(), path.clone())).collect();
    let mut knows: BTreeMap<String, BTreeSet<String>> =
        texts.iter().map(|(name, (_, text))| (name.clone(), named_files(text, &files))).collect();
    for (name, (_, text)) in &texts {
        let modules = text.lines().filter_map(|l| l.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
        let files = modules.map(|module| format!("{name}/{module}")).filter(|file| texts.contains_key(file));
        knows.get_mut(name).unwrap().extend(files);
    }
    assert!(knows["app/step"].contains("app/outbox") && knows["alarm/condition/level"].contains("alarm/resolve"));
    for (name, known) in &mut knows {
        known.remove(name);
    }
    // Whatever knows no other or is known to no other is in no circle: it is taken away until only circles are left.
    loop {
        let known: BTreeSet<String> = knows.values().flatten().cloned().collect();
        let is_free = |(name, knows): &(&String, &BTreeSet<String>)| knows.is_empty() || !known.contains(*name);
        let free: Vec<String> = knows.iter().filter(is_free).map(|(name, _)| name.clone()).collect();
        if free.is_empty() {
            break;
        }
        knows.retain(|name, _| !free.contains(name));
        knows.values_mut().for_each(|known| known.retain(|name| !free.contains(name)));
    }
    assert!(knows.is_empty(), "files that know each other in a circle: {knows:#?}");
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

/// Words that are ours alone: a stranger in the field would have to learn them. Public names (TOML keys, JSON fields) are not
/// identifiers of these.
const BANNED_WORDS: &[&str] = &[
    "desk",
    "door",
    "knock",
    "bell",
    "wish",
    "wishes",
    "looker",
    "lookers",
    "provoke",
    "provoked",
    "letter",
    "letters",
    "news",
    "told",
    "tells",
    "heard",
    "hears",
    "whom",
    "mend",
    "mends",
    "lane",
    "carrier",
    "hole",
    "holes",
    "outs",
    "picks",
    "judge",
    "judges",
    "beat",
    "beats",
    "stranger",
    "strangers",
    "carry",
    "carried",
    "outlet",
    "outlets",
    "trouble",
    "troubles",
    "vital",
    "aside",
];
/// Names that contain one of them and are the field's, or a promise to users.
const NAMES_WITH_BANNED_WORDS: &[&str] =
    &["dead_letter", "DeadLetter", "set_aside", "SetAside", "heartbeat", "door_closed", "door_zone"];
/// Doc comments of three words or fewer; those of settings and options are the reference that users read.
const SHORT_DOCS_MAX: usize = 100;
/// Names of tests are sentences; what has more words than this is none of an interface.
const WORDS_OF_A_NAME: usize = 4;

/// The text without comments and string literals, line by line.
fn code_of(text: &str) -> String {
    let line = |line: &str| {
        let code = line.split("//").next().unwrap_or_default().replace("\\\"", "").replace("'\"'", "");
        code.split('"').step_by(2).collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// The words of a name: `OncallRoom` and `oncall_room` have two.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_ascii_uppercase() {
            words.push(String::new());
        }
        if c != '_' {
            words.last_mut().unwrap().push(c.to_ascii_lowercase());
        }
    }
    words.retain(|w| !w.is_empty());
    words
}

#[test]
fn names_are_the_fields_words() {
    let mut wrong = BTreeMap::new();
    for (path, text) in sources() {
        let code = code_of(&text);
        for name in code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let words = words_of(name);
            let is_exempt = NAMES_WITH_BANNED_WORDS.iter().any(|n| name.contains(n)) || words.len() > WORDS_OF_A_NAME;
            if let Some(word) = words.iter().find(|w| BANNED_WORDS.contains(&w.as_str())).filter(|_| !is_exempt) {
                wrong.insert(format!("{name} (`{word}`)"), path.display().to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn few_doc_comments_say_nothing() {
    let mut short = 0;
    for (_, text) in sources() {
        let is_short =
            |l: &&str| l.trim_start().strip_prefix("/// ").is_some_and(|t| t.split_whitespace().count() <= 3);
        let lines: Vec<&str> = text.lines().collect();
        let settings = lines.iter().enumerate().filter(|(i, l)| {
            let alone = *i == 0 || !lines[i - 1].trim_start().starts_with("///");
            is_short(l) && alone && !lines.get(i + 1).is_some_and(|n| n.trim_start().starts_with("///"))
        });
        short += settings.count();
    }
    assert!(short < SHORT_DOCS_MAX, "{short} doc comments of three words or fewer, at most {SHORT_DOCS_MAX}");
}
