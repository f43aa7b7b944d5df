//! What README and `docs/` show: every TOML block is accepted by the part of the program that it is for, every command of this
//! program is one that it has.

use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use plantroom::cli;
use plantroom::config::doc::Texts;
use plantroom::config::{self, Loaded};
use plantroom::model::problem::Severity;

/// A fenced block: where it begins, its language, its text without the indentation of the fence.
struct Block {
    place: String,
    language: String,
    text: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

/// A new directory below the system's for temporary files.
fn directory() -> PathBuf {
    let path = std::env::temp_dir().join(format!("plantroom-documents-{}", std::process::id()));
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn documents() -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(root().join("docs")).unwrap().map(|e| e.unwrap().path()).collect();
    all.retain(|p| p.extension().is_some_and(|e| e == "md"));
    all.extend(["README.md", "CONTRIBUTING.md", "SECURITY.md"].map(|name| root().join(name)));
    all.sort();
    all
}

fn blocks() -> Vec<Block> {
    let mut all = Vec::new();
    for path in documents() {
        let text = std::fs::read_to_string(&path).unwrap();
        let mut open: Option<(usize, Block)> = None;
        for (index, line) in text.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            match (line.trim_start().strip_prefix("```"), open.take()) {
                (Some(language), None) => {
                    let place = format!("{}:{}", path.strip_prefix(root()).unwrap().display(), index + 1);
                    open = Some((indent, Block { place, language: language.to_owned(), text: String::new() }));
                }
                (Some(_), Some((_, block))) => all.push(block),
                (None, Some((indent, mut block))) => {
                    block.text.push_str(line.get(indent..).unwrap_or_default());
                    block.text.push('\n');
                    open = Some((indent, block));
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block does not end", path.display());
    }
    all
}

/// Loads the example site with what a block adds; a block with devices of its own gets the site's names only.
fn load_configuration(block: &Block, secrets: &Path) -> Loaded {
    let mut texts = Texts::default();
    let whole = !block.text.contains("[[device]]");
    for name in ["site.toml", "links.toml", "units.toml", "devices.toml"] {
        let text = std::fs::read_to_string(root().join("config").join(name)).unwrap();
        if whole && name == "site.toml" && block.text.lines().any(|line| line == "[flood]") {
            // The block says it instead of the site.
            let mut site = text.parse::<toml::Table>().unwrap();
            site.remove("flood");
            texts.files.push((name.to_owned(), toml::to_string(&site).unwrap()));
        } else if whole {
            texts.files.push((name.to_owned(), text));
        } else if name == "site.toml" {
            let site = text.parse::<toml::Table>().unwrap();
            texts.files.push((name.to_owned(), format!("[site]\n{}", toml::to_string(&site["site"]).unwrap())));
        }
    }
    // Paths of the box, with files behind them.
    let text = block.text.replace("/etc/plantroom/", &format!("{}/", secrets.display()));
    texts.files.push((block.place.clone(), text));
    config::load_texts(&texts, None)
}

/// Loads the example site with a file of the catalogue that a block shows, under the name that the block gives itself.
fn load_catalogue(block: &Block, directory: &Path) -> Loaded {
    let table: toml::Table = block.text.parse().unwrap();
    let (folder, name) = if table.contains_key("rules") {
        ("alarms", "class")
    } else if table.contains_key("read") {
        ("profiles", "name")
    } else {
        ("vocabulary", "class")
    };
    let folder = directory.join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    let name = table[name].as_str().unwrap();
    std::fs::write(folder.join(format!("{name}.toml")), &block.text).unwrap();
    let texts = Texts {
        files: vec![(
            "site.toml".into(),
            "[site]\nid = \"s\"\nzh = \"站\"\nen = \"Site\"\ntime_zone = \"UTC\"\n".into(),
        )],
    };
    config::load_texts(&texts, Some(directory))
}

#[test]
fn every_toml_block_of_the_documents_is_accepted() {
    let secrets = directory();
    std::fs::write(secrets.join("ca.pem"), include_str!("example-ca.pem")).unwrap();
    for name in ["broker-password", "ntfy-token", "scada-token"] {
        std::fs::write(secrets.join(name), "0123456789abcdef0123456789abcdef").unwrap();
    }
    let mut wrong = Vec::new();
    let mut count = 0;
    for block in blocks().iter().filter(|b| b.language == "toml") {
        count += 1;
        let table: toml::Table = match block.text.parse() {
            Ok(table) => table,
            Err(error) => {
                wrong.push(format!("{}: {error}", block.place));
                continue;
            }
        };
        if table.contains_key("expect") {
            // A capture; `captures.rs` reads those that there are.
            continue;
        }
        let loaded = if table.contains_key("format") {
            load_catalogue(block, &secrets.join(count.to_string()))
        } else {
            load_configuration(block, &secrets)
        };
        // A class that a block shows in part takes the place of the whole one: built-in profiles then miss points.
        let errors = loaded
            .problems
            .iter()
            .filter(|p| p.severity == Severity::Error && !p.location.file.starts_with("(built in)"));
        wrong.extend(errors.map(|p| format!("{}: {p:?}", block.place)));
    }
    std::fs::remove_dir_all(&secrets).unwrap();
    assert!(count >= 12, "only {count} blocks found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The words of a command that are the program's arguments; none: the line runs something else.
fn arguments(line: &str) -> Option<Vec<String>> {
    let line = line.split('#').next().unwrap_or_default();
    // What stands between quotes is one word.
    let parts = line
        .split('"')
        .enumerate()
        .flat_map(|(i, part)| if i % 2 == 1 { vec![part] } else { part.split_whitespace().collect() });
    let words: Vec<String> = parts.map(str::to_owned).collect();
    let first = words.first()?;
    if first == "plantroom" {
        return Some(words);
    }
    let dashes = words.iter().position(|w| w == "--")?;
    (words.get(..2)? == ["cargo", "run"]).then(|| {
        let mut all = vec!["plantroom".to_owned()];
        all.extend(words[dashes + 1..].iter().cloned());
        all
    })
}

#[test]
fn every_command_of_the_documents_exists() {
    let mut wrong = Vec::new();
    let mut count = 0;
    let mut try_command = |place: &str, words: Vec<String>| {
        count += 1;
        if let Err(error) = cli::Args::command().try_get_matches_from(&words) {
            wrong.push(format!("{place}: {}: {error}", words.join(" ")));
        }
    };
    for block in blocks().iter().filter(|b| b.language == "sh") {
        for line in block.text.lines() {
            if let Some(words) = arguments(line) {
                try_command(&block.place, words);
            }
        }
    }
    assert!(count >= 15, "only {count} commands found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
