//! `plantroom backup` and `plantroom restore`: configuration and state in one archive. A backup is made beside the running
//! daemon; a restore opens everything before it puts it into place.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::app::self_metrics::LAST_BACKUP;
use crate::cli::{Args as Global, CommandFailure, CommandOutcome, output};
use crate::clock::{self, Clock};
use crate::config;
use crate::journal::{self, Journal, copy, recover};
use crate::ledger::{self, Ledger};
use crate::model::time::UnixMillis;
use crate::store::log;

/// Format and version, the content of the archive's first entry.
const FORMAT: &str = "plantroom backup 1\n";

/// Options of `backup`: which file is written, and how much goes into it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The archive to write: FILE.tar.gz. It may hold passwords: only its owner can read it.
    file: PathBuf,
    /// Leave the history away: configuration and small state only.
    #[arg(long)]
    without_history: bool,
}

/// Options of `restore`: which archive is brought back.
#[derive(Debug, clap::Args)]
pub struct RestoreArgs {
    /// The archive that `plantroom backup` wrote: FILE.tar.gz.
    file: PathBuf,
}

/// Limits of entries and of unpacked bytes: more than any backup has.
const ENTRIES_MAX: usize = 100_000;
const BYTES_MAX: u64 = 64_000_000_000;

type Archive = tar::Builder<GzEncoder<File>>;

pub fn run(global: &Global, args: &Args) -> CommandOutcome {
    let part = args.file.with_extension("part");
    let failed =
        |e: std::io::Error| CommandFailure::later(format!("cannot write {}", part.display())).because(e.to_string());
    let mut options = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create(true).truncate(true), 0o600);
    let file = options.open(&part).map_err(failed)?;
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
    let written = write(global, args, &mut archive);
    let finished = written.and_then(|count| {
        let file = archive.into_inner().and_then(GzEncoder::finish).map_err(failed)?;
        file.sync_all().and_then(|()| std::fs::rename(&part, &args.file)).map_err(failed)?;
        Ok(count)
    });
    match finished {
        Ok(count) => {
            let bytes = std::fs::metadata(&args.file).map_or(0, |m| m.len());
            // The date of this file is that of the last backup; the gateway reports when it is too old.
            let _best_effort = File::create(global.state_dir().join(LAST_BACKUP));
            output::line(format!("{}: {count} files, {} kB", args.file.display(), bytes / 1_000));
            Ok(())
        }
        Err(failure) => {
            let _best_effort = std::fs::remove_file(&part);
            Err(failure)
        }
    }
}

fn write(global: &Global, args: &Args, archive: &mut Archive) -> Result<usize, CommandFailure> {
    let (config_dir, state_dir) = (global.config_dir(), global.state_dir());
    if !config_dir.is_dir() {
        return Err(CommandFailure::usage(format!("there is no configuration in {}", config_dir.display()))
            .hint("--config DIR names another directory"));
    }
    let failed = |what: &Path| {
        let what = what.display().to_string();
        move |e: std::io::Error| CommandFailure::later(format!("cannot keep {what}")).because(e.to_string())
    };
    let history = journal_dir(global);
    let store = state_dir.join("store.db");
    put(archive, "format", FORMAT.as_bytes()).map_err(failed(Path::new("format")))?;
    let mut count = 1;
    let small = |path: &Path| {
        path.extension().is_some_and(|e| ["toml", "csv", "json", "jsonl", "again", "txt"].iter().any(|x| e == *x))
    };
    for (dir, under) in [(&config_dir, "config"), (&state_dir, "state")] {
        for path in regular_files(dir) {
            let name = path.strip_prefix(dir).unwrap_or(&path).to_path_buf();
            let is_wanted = if under == "state" { small(&path) && !name.starts_with(&history) } else { true };
            if is_wanted {
                let bytes = std::fs::read(&path).map_err(failed(&path))?;
                put(archive, &format!("{under}/{}", name.display()), &bytes).map_err(failed(&path))?;
                count += 1;
            }
        }
    }
    let journal = state_dir.join(&history);
    let temporary_copy = args.file.with_extension("part.db");
    count += put_database(archive, &store, &temporary_copy, "what was decided")?;
    if args.without_history {
        return Ok(count);
    }
    // Before the journal, so that it knows no reading that the journal's copy lacks.
    count += put_database(archive, &state_dir.join(ledger::FILE), &temporary_copy, "the energy ledger")?;
    let mut add_history = |paths: Vec<PathBuf>| -> Result<(), CommandFailure> {
        let many = paths.len();
        for (i, path) in paths.iter().enumerate() {
            let _left_over = std::fs::remove_file(&temporary_copy);
            let copied = copy::copy(path, &temporary_copy);
            if copied.map_err(|e| CommandFailure::later("the journal cannot be copied").because(e.to_string()))? {
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                archive
                    .append_path_with_name(&temporary_copy, format!("state/{history}/{name}"))
                    .map_err(failed(path))?;
                count += 1;
            }
            if (i + 1).is_multiple_of(100) {
                output::note(format!("{} of {many} files of history", i + 1));
            }
        }
        Ok(())
    };
    let kept = add_history(copy::raw_files(&journal)).and_then(|()| add_history(copy::day_files(&journal)));
    let _best_effort = std::fs::remove_file(&temporary_copy);
    kept.map(|()| count)
}

/// A consistent copy of a database of the state directory, if there is one; returns how many files that is.
fn put_database(archive: &mut Archive, path: &Path, copy: &Path, what: &str) -> Result<usize, CommandFailure> {
    if !path.exists() {
        return Ok(0);
    }
    let failed = || CommandFailure::later(format!("{what} cannot be copied"));
    let _left_over = std::fs::remove_file(copy);
    log::copy(path, copy).map_err(|e| failed().because(e))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let put = archive.append_path_with_name(copy, format!("state/{name}"));
    put.map_err(|e| failed().because(e.to_string()))?;
    let _best_effort = std::fs::remove_file(copy);
    Ok(1)
}

fn put(archive: &mut Archive, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    archive.append_data(&mut header, name, bytes)
}

/// Every regular file below a directory, sorted. Links are not followed: a user who can write to the state directory must not
/// decide what a backup by root contains.
fn regular_files(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => out.extend(regular_files(&path)),
            Ok(kind) if kind.is_file() => out.push(path),
            _ => output::note(format!("{} is neither a file nor a directory: left out", path.display())),
        }
    }
    out.sort();
    out
}

fn journal_dir(global: &Global) -> String {
    let loaded = config::load(&global.config_dir());
    loaded.configuration.map_or_else(|| journal::JournalSettings::default().dir, |c| c.journal.dir)
}

/// Unpacks an archive into a new directory, verifies it, and puts it into place.
pub fn restore(global: &Global, args: &RestoreArgs) -> CommandOutcome {
    output::begin_log(global, true);
    let (config_dir, state_dir) = (global.config_dir(), global.state_dir());
    refuse_if_exists(&state_dir.join(journal::JournalSettings::default().dir))?;
    let unpacked = state_dir.join("restoring");
    let _left_over = std::fs::remove_dir_all(&unpacked);
    let proved = unpack(&args.file, &unpacked).and_then(|()| verify_unpacked(&unpacked));
    let placed = proved.and_then(|summary| {
        move_into_place(&unpacked, &config_dir, &state_dir).map(|is_config_kept| (summary, is_config_kept))
    });
    let _best_effort = std::fs::remove_dir_all(&unpacked);
    let (summary, is_config_kept) = placed?;
    output::line(summary);
    if is_config_kept {
        output::line(format!("the configuration in {} stays as it is", config_dir.display()));
    }
    output::line("now: start the gateway");
    Ok(())
}

fn unpack(file: &Path, to: &Path) -> CommandOutcome {
    let broken = |e: std::io::Error| {
        CommandFailure::usage(format!("{} cannot be unpacked", file.display())).because(e.to_string())
    };
    let mut archive = tar::Archive::new(GzDecoder::new(File::open(file).map_err(broken)?));
    std::fs::create_dir_all(to.parent().unwrap_or(to)).map_err(broken)?;
    // Must be new: an existing directory or symbolic link is an error.
    std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(to).map_err(broken)?;
    let (mut known, mut entries, mut bytes) = (false, 0, 0u64);
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        if !known {
            let mut text = String::new();
            let _not_text = entry.by_ref().take(100).read_to_string(&mut text);
            if text != FORMAT {
                return Err(CommandFailure::usage(format!("{} is no backup of this version", file.display()))
                    .because(format!("it begins with {:?}", text.trim())));
            }
            known = true;
            continue;
        }
        entries += 1;
        bytes = bytes.saturating_add(entry.size());
        if entries > ENTRIES_MAX || bytes > BYTES_MAX {
            return Err(CommandFailure::usage(format!("{} holds more than a backup has", file.display()))
                .because(format!("at most {ENTRIES_MAX} files and {BYTES_MAX} bytes")));
        }
        let name = entry.path().map_err(broken)?.into_owned();
        unpack_one(&mut entry, &name, to).map_err(|why| {
            CommandFailure::usage(format!("{} holds {}", file.display(), name.display())).because(why)
        })?;
    }
    if known { Ok(()) } else { Err(CommandFailure::usage(format!("{} is empty", file.display()))) }
}

/// Unpacks one file or directory below `to`. Other kinds of entries, and paths that lead elsewhere, are refused.
fn unpack_one(entry: &mut tar::Entry<'_, impl std::io::Read>, name: &Path, to: &Path) -> Result<(), String> {
    use std::path::Component::Normal;
    let is_inside = name.components().all(|c| matches!(c, Normal(_)))
        && name.components().next().is_some_and(|c| c.as_os_str() == "config" || c.as_os_str() == "state");
    if !is_inside {
        return Err("which leads outside of a backup".to_string());
    }
    let failed = |e: std::io::Error| e.to_string();
    let (path, kind) = (to.join(name), entry.header().entry_type());
    let dir = if kind.is_dir() { Some(path.as_path()) } else { path.parent() };
    let mut builder = std::fs::DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(builder.recursive(true), 0o700);
    dir.map_or(Ok(()), |dir| builder.create(dir)).map_err(failed)?;
    if kind.is_dir() {
        return Ok(());
    }
    if !kind.is_file() {
        return Err("which is neither a file nor a directory".to_string());
    }
    let mut options = std::fs::OpenOptions::new();
    // New files only: nothing is written through an earlier entry of the archive.
    std::os::unix::fs::OpenOptionsExt::mode(options.write(true).create_new(true), 0o600);
    let mut out = options.open(&path).map_err(failed)?;
    std::io::copy(entry, &mut out).map(drop).map_err(failed)
}

/// Opens everything as the gateway would; returns a summary.
fn verify_unpacked(unpacked: &Path) -> Result<String, CommandFailure> {
    let loaded = config::load(&unpacked.join("config"));
    let Some(configuration) = loaded.configuration else {
        let said: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        return Err(
            CommandFailure::configuration("the configuration in the backup does not check").because(said.join("\n"))
        );
    };
    let store = unpacked.join("state/store.db");
    if store.exists() {
        log::verify(&store).map_err(|e| CommandFailure::usage("what was decided cannot be opened").because(e))?;
    }
    let energy = unpacked.join("state").join(ledger::FILE);
    if energy.exists() {
        let opened = Ledger::open_read_only(&energy).and_then(|ledger| ledger.registers().map(drop));
        opened.map_err(|e| CommandFailure::usage("the energy ledger cannot be opened").because(e))?;
    }
    let journal = unpacked.join("state").join(&configuration.journal.dir);
    std::fs::create_dir_all(&journal)
        .and_then(|()| File::create(journal.join(recover::RESTORED))?.write_all(b"numbers begin far beyond\n"))
        .map_err(|e| CommandFailure::later("the backup cannot be unpacked").because(e.to_string()))?;
    let clock = Clock::new(&clock::ClockSettings { source: clock::ClockSource::Rtc }, UnixMillis(0));
    let opened = Journal::open(&journal, &configuration.journal, &clock, &clock::boot_id());
    let (opened, writer) = opened
        .map_err(|e| CommandFailure::usage("the journal in the backup cannot be opened").because(e.to_string()))?;
    let damaged = opened.health().damaged_files.load(std::sync::atomic::Ordering::Relaxed);
    let newest = opened.newest_seq();
    writer.stop();
    if damaged > 0 {
        return Err(CommandFailure::usage(format!("{damaged} files of the journal in the backup are damaged")));
    }
    let devices = configuration.devices.len();
    Ok(format!("site {}: {devices} devices, a journal that opens, numbers from {newest} on", configuration.site.id))
}

/// A file of every journal, which identifies its directory.
const LOCK: &str = "lock";

/// An existing history is never overwritten.
fn refuse_if_exists(journal: &Path) -> CommandOutcome {
    if !journal.exists() {
        return Ok(());
    }
    Err(CommandFailure::usage(format!("there is a journal in {} already", journal.display()))
        .hint("stop the gateway and move that directory away, or name another with --state DIR"))
}

/// Gives unpacked files to the owner of the directory `like`: root restores, but the service must read and write them.
fn own(path: &Path, like: &Path, mode: Option<u32>) -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
    let owner = std::fs::metadata(like)?;
    let kind = std::fs::symlink_metadata(path)?.file_type();
    std::os::unix::fs::lchown(path, Some(owner.uid()), Some(owner.gid()))?;
    if kind.is_symlink() {
        return Ok(());
    }
    if let Some(mode) = mode {
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode))?;
    }
    if kind.is_dir() {
        for entry in std::fs::read_dir(path)? {
            own(&entry?.path(), like, mode)?;
        }
    }
    Ok(())
}

/// Moves the verified files into place; `true` if a configuration existed already and was kept.
fn move_into_place(unpacked: &Path, config_dir: &Path, state_dir: &Path) -> Result<bool, CommandFailure> {
    let failed =
        |e: std::io::Error| CommandFailure::later("what was unpacked cannot be put into place").because(e.to_string());
    let has_config = config_dir.join("site.toml").exists();
    if !has_config {
        std::fs::create_dir_all(config_dir).map_err(failed)?;
        let from = unpacked.join("config");
        for path in regular_files(&from) {
            let to = config_dir.join(path.strip_prefix(&from).unwrap_or(&path));
            std::fs::create_dir_all(to.parent().unwrap_or(config_dir)).map_err(failed)?;
            // The two directories may be on different file systems.
            std::fs::copy(&path, &to).map_err(failed)?;
            own(&to, config_dir, Some(0o640)).map_err(failed)?;
        }
    }
    let is_history = |path: &Path| path.join(LOCK).exists();
    for entry in std::fs::read_dir(unpacked.join("state")).map_err(failed)?.flatten() {
        let to = state_dir.join(entry.file_name());
        if is_history(&entry.path()) {
            refuse_if_exists(&to)?;
        }
        // What a killed gateway left of a database's log must not be taken for that of the new file.
        for log in ["-wal", "-shm"] {
            let _may_not_exist = std::fs::remove_file(format!("{}{log}", to.display()));
        }
        let _older = if to.is_dir() { std::fs::remove_dir_all(&to) } else { std::fs::remove_file(&to) };
        std::fs::rename(entry.path(), &to).map_err(failed)?;
        own(&to, state_dir, None).map_err(failed)?;
    }
    Ok(has_config)
}
