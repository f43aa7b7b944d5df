//! Verification: reads every file once, reports what cannot be read, and repairs register files from their second copy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::journal::damage::{self, Damage};
use crate::journal::files;
use crate::journal::mirror;
use crate::journal::sealed::DayFile;
use crate::journal::segment::{JournalError, Offsets, SegmentReader, io_at};
use crate::journal::slice::Slice;
use crate::model::stream::Stream;
use crate::store::small_file;

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// When it ended, milliseconds since 1970; 0: the date was not known.
    pub ended_ms: i64,
    /// Number of files that were read.
    pub files: u64,
    /// Size of those files, bytes.
    pub bytes: u64,
    /// Hours of a device and class (slices) read, and rows of hours that are not sealed yet.
    pub slices: u64,
    /// Files of registers that were mended: the day's from its mirror, or the mirror from the day's.
    #[serde(rename = "mended")]
    pub repaired: Vec<String>,
    /// The same, where a mere reader found them: nothing is lost, and they are to be mended.
    #[serde(default)]
    #[serde(rename = "mendable")]
    pub repairable: Vec<String>,
    /// What cannot be read and has no second copy.
    pub damage: Vec<Damage>,
}

impl VerifyReport {
    /// Loads the report of the last verification in a journal's directory; `None` if it is missing or unreadable.
    pub fn load(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(dir.join(FILE)).ok()?).ok()
    }

    /// Stores the report. A failure is only logged: the next check then begins another verification.
    pub fn store(&self, dir: &Path) {
        let written = small_file::replace(&dir.join(FILE), &serde_json::to_vec(self).unwrap_or_default());
        if let Err(error) = written {
            tracing::warn!(%error, "what the verification of the journal found could not be kept");
        }
    }
}

/// Whether the directory belongs to the current user. A file repaired by another user, such as root, could be unreadable to the gateway.
pub fn is_owned_by_user(dir: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata(dir).is_ok_and(|of| of.uid() == rustix::process::geteuid().as_raw())
}

/// File name of the last report.
const FILE: &str = "verified.json";

/// A day file that is being verified.
struct FileCheck {
    file: DayFile,
    streams: BTreeMap<i64, Arc<Stream>>,
    todo: Vec<Slice>,
    damage: Vec<Damage>,
    slices: u64,
}

impl FileCheck {
    fn begin(path: &Path) -> Result<Self, JournalError> {
        let file = DayFile::open(path)?;
        let mut damage = Vec::new();
        // Register files are small, so all pages are checked; of other files only the pages that the slices use are read.
        if mirror::path_of(path).is_some() && !file.is_sound()? {
            damage.push(Damage::file(path, "", "its pages do not fit together"));
        }
        file.segments()?;
        let (streams, unknown) = file.streams(None)?;
        if unknown > 0 {
            damage.push(Damage::file(path, "", format!("{unknown} of its streams cannot be read")));
        }
        let mut todo = damage::readable_slices(&file, "", "1 = 1", &[], &mut damage)?;
        todo.reverse();
        Ok(Self { file, streams, todo, damage, slices: 0 })
    }

    /// Reads a slice; `false` when none is left.
    fn step(&mut self) -> Result<bool, JournalError> {
        let Some(slice) = self.todo.pop() else { return Ok(false) };
        self.slices += 1;
        let device = self.streams.get(&slice.stream).map_or(String::new(), |stream| stream.device.to_string());
        let path = self.file.path.clone();
        let why = match self.is_intact(&slice) {
            Ok(true) => return Ok(true),
            Ok(false) => "its columns cannot be read".to_string(),
            Err(e) if e.is_unreadable() => e.to_string(),
            Err(e) => return Err(e),
        };
        self.damage.push(if slice.is_intact {
            Damage::slice(&path, &device, &slice, why)
        } else {
            Damage::file(&path, "", "the header of a slice cannot be read")
        });
        Ok(true)
    }

    fn is_intact(&self, slice: &Slice) -> Result<bool, JournalError> {
        let file = &self.file;
        let has_shared = file.times(slice)?.is_some() && file.seqs(slice)?.is_some() && file.offsets(slice)?.is_some();
        if !slice.is_intact || !has_shared || !self.streams.contains_key(&slice.stream) {
            return Ok(false);
        }
        for point in &slice.points {
            if !file.has_intact_aggregates(slice, *point)? {
                return Ok(false);
            }
            if file.samples(slice, *point)?.map(Iterator::count) != Some(slice.n) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Damage of a whole day file; `Err` if it cannot be read now for another reason.
fn check_file(path: &Path) -> Result<Vec<Damage>, JournalError> {
    let look = FileCheck::begin(path).and_then(|mut look| {
        while look.step()? {}
        Ok(look.damage)
    });
    match look {
        Err(e) if e.is_unreadable() || e.is_single_bit_flip() => Ok(vec![Damage::file(path, "", e.to_string())]),
        result => result,
    }
}

/// A verification in progress.
pub struct Verification {
    dir: PathBuf,
    /// Whether register files are repaired. Only for the sole writer of the directory, while nothing is being sealed.
    repairs: bool,
    todo: Vec<PathBuf>,
    look: Option<FileCheck>,
    /// What was found in the files read so far.
    pub report: VerifyReport,
}

impl Verification {
    /// Lists the files to read. With `has_raw`, raw segments are included.
    pub fn begin(dir: &Path, repairs: bool, has_raw: bool) -> Self {
        let mut todo = files::list(dir, "day-");
        todo.extend(mirror::orphans(dir));
        if has_raw {
            todo.extend(files::list(dir, "raw-"));
        }
        todo.reverse();
        let report = VerifyReport { damage: damage::quarantined(dir), ..VerifyReport::default() };
        Self { dir: dir.to_path_buf(), repairs, todo, look: None, report }
    }

    /// The file being read, or the next one.
    pub fn file(&self) -> Option<&Path> {
        self.look.as_ref().map(|look| look.file.path.as_path()).or(self.todo.last().map(PathBuf::as_path))
    }

    /// Reads one slice, or one raw segment as a whole; `false` when nothing is left.
    ///
    /// # Errors
    /// A file cannot be read now for another reason than damage. It is not tried again in this verification.
    pub fn step(&mut self) -> Result<bool, JournalError> {
        if let Some(mut look) = self.look.take() {
            if look.step()? {
                self.look = Some(look);
            } else {
                self.report.slices += look.slices;
                let path = look.file.path.clone();
                drop(look.file);
                self.end_file(&path, look.damage)?;
            }
            return Ok(true);
        }
        let Some(path) = self.todo.pop() else { return Ok(false) };
        let is_raw = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("raw-"));
        if !path.exists() && (is_raw || mirror::path_of(&path).is_none_or(|mirror| !mirror.exists())) {
            return Ok(true); // Sealed or deleted since the beginning.
        }
        self.report.files += 1;
        self.report.bytes += std::fs::metadata(&path).map_or(0, |m| m.len());
        if is_raw {
            self.read_raw(&path)?;
            return Ok(true);
        }
        match FileCheck::begin(&path) {
            Ok(look) => self.look = Some(look),
            Err(e) if e.is_unreadable() || e.is_single_bit_flip() => {
                self.end_file(&path, vec![Damage::file(&path, "", e.to_string())])?;
            }
            Err(e) => return Err(e),
        }
        Ok(true)
    }

    fn read_raw(&mut self, path: &Path) -> Result<(), JournalError> {
        let read = SegmentReader::open(path, &Offsets::new()).and_then(|mut reader| {
            let (is_sound, mut rows) = (reader.is_sound()?, 0);
            let lost = reader.scan(|_| true, |_, _| rows += 1)?;
            Ok((is_sound, rows, lost))
        });
        match read {
            Ok((is_sound, rows, lost)) => {
                self.report.slices += rows;
                if !is_sound || lost > 0 {
                    let why = format!("{lost} of its rows cannot be read, or its pages do not fit together");
                    self.report.damage.push(Damage::file(path, "", why));
                }
            }
            Err(_) if !path.exists() => {}
            Err(JournalError::Unfinished { .. }) => {}
            Err(e) if e.is_unreadable() => self.report.damage.push(Damage::file(path, "", e.to_string())),
            Err(e) => return Err(e),
        }
        Ok(())
    }

    /// Concludes a day file. For registers the mirror is verified too, and the damaged copy is repaired from the intact one.
    fn end_file(&mut self, path: &Path, damage: Vec<Damage>) -> Result<(), JournalError> {
        let Some(mirror) = mirror::path_of(path) else {
            self.report.damage.extend(damage);
            return Ok(());
        };
        let of_mirror = if mirror.exists() { Some(check_file(&mirror)?) } else { None };
        self.report.files += u64::from(of_mirror.is_some());
        let segments = |path: &Path| DayFile::open(path).and_then(|file| file.segments()).unwrap_or_default();
        let has_all = |of: &Path, other: &Path| {
            let of = segments(of);
            segments(other).iter().all(|segment| of.contains(segment))
        };
        let is_mirror_whole = of_mirror.as_ref().is_some_and(Vec::is_empty);
        let name = |path: &Path| path.file_name().map_or(String::new(), |n| n.to_string_lossy().into_owned());
        match (damage.is_empty(), is_mirror_whole) {
            (true, true) if has_all(&mirror, path) => {}
            (true, _) if !self.repairs => self.report.repairable.push(name(&mirror)),
            (true, _) => {
                mirror::rebuild(path, &mirror).map_err(io_at(&mirror))?;
                self.report.repaired.push(name(&mirror));
            }
            (false, true) if !self.repairs && has_all(&mirror, path) => self.report.repairable.push(name(path)),
            (false, true) if has_all(&mirror, path) && mirror::restore(path) => self.report.repaired.push(name(path)),
            // Both are damaged, perhaps in different places: only what is damaged in both is lost, and the rest is read from either.
            (false, _) => {
                let other = of_mirror.unwrap_or_default();
                self.report.damage.extend(damage.into_iter().filter(|d| other.is_empty() || d.overlaps_any(&other)));
            }
        }
        Ok(())
    }

    /// Ends the verification; stores the report if this verification repairs.
    pub fn end(mut self, ended_ms: i64) -> VerifyReport {
        self.report.ended_ms = ended_ms;
        if self.repairs {
            self.report.store(&self.dir);
        }
        self.report
    }
}
