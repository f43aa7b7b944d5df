//! Compiles the vocabulary, the profiles, the alarm rules, the calendars, the tariffs and the flood schemes below `config/` in: a new device is two data files and no Rust.

#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    missing_docs,
    reason = "a build script ends by panicking, and asks the builder's clock"
)]

use std::fmt::Write as _;
use std::path::Path;

fn main() {
    let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let out = std::env::var("OUT_DIR").expect("cargo sets it");
    // No date before this can be right; a build that is to be the same each time gives it.
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let built = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|s| s.parse().ok()).unwrap_or_else(now);
    println!("cargo::rustc-env=PLANTROOM_BUILT={built}");
    let mut text = String::new();
    for folder in ["vocabulary", "profiles", "alarms", "calendars", "tariffs", "flood"] {
        let dir = Path::new(&root).join("config").join(folder);
        println!("cargo::rerun-if-changed={}", dir.display());
        let mut files: Vec<_> =
            std::fs::read_dir(&dir).expect("a checkout has it").flatten().map(|e| e.path()).collect();
        files.retain(|p| p.extension().is_some_and(|e| e == "toml"));
        files.sort();
        let name = folder.to_uppercase();
        writeln!(
            text,
            "/// Name and text of each file below `config/{folder}`.\npub const {name}: &[(&str, &str)] = &["
        )
        .expect("a String takes it");
        for path in files {
            let stem = path.file_stem().and_then(|s| s.to_str()).expect("names are UTF-8");
            writeln!(text, "    ({stem:?}, include_str!({:?})),", path.display().to_string())
                .expect("a String takes it");
        }
        text.push_str("];\n");
    }
    std::fs::write(Path::new(&out).join("builtin.rs"), text).expect("cargo's directory can be written");
}
