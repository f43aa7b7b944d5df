//! The file with the topics that are retained on a broker, so that topics no longer configured can be cleared after a restart.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use crate::clock::LogLimit;
use crate::lock::lock;
use crate::store::small_file;

static LOG: LogLimit = LogLimit::new();

/// The topics as last set; the file follows on a thread that may wait for the disk.
#[derive(Clone, Debug)]
pub struct RetainedFile {
    path: PathBuf,
    /// A topic a line, below the site's.
    text: Arc<Mutex<String>>,
    /// Held while the file is written: the latest text is written last.
    disk: Arc<Mutex<()>>,
}

impl RetainedFile {
    /// Reads the file; one that is missing or cannot be read holds no topics.
    pub async fn load(path: PathBuf) -> Self {
        let file = path.clone();
        let read = tokio::task::spawn_blocking(move || small_file::read(&file).ok().flatten()).await;
        let text = String::from_utf8(read.ok().flatten().unwrap_or_default()).unwrap_or_default();
        Self { path, text: Arc::new(Mutex::new(text)), disk: Arc::default() }
    }

    fn text(&self) -> std::sync::MutexGuard<'_, String> {
        lock(&self.text)
    }

    /// The topics, with unknown content, so that each is sent or cleared.
    pub fn topics(&self) -> BTreeMap<String, String> {
        self.text().lines().filter(|l| !l.is_empty()).map(|l| (l.to_string(), String::new())).collect()
    }

    /// Replaces the topics. Does not wait for the disk.
    pub fn set<'a>(&self, topics: impl Iterator<Item = &'a String>) {
        *self.text() = topics.map(|topic| format!("{topic}\n")).collect();
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let _one_at_a_time = lock(&this.disk);
            let text = this.text().clone();
            if let Err(error) = small_file::replace(&this.path, text.as_bytes())
                && let Some(count) = LOG.allows(&this.path.to_string_lossy())
            {
                tracing::warn!(file = %this.path.display(), %error, count, "cannot remember which topics are retained");
            }
        });
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests look at the files")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn topics_come_back_after_a_restart() {
        let path = std::env::temp_dir().join(format!("plantroom-retained-{}", std::process::id()));
        let file = RetainedFile::load(path.clone()).await;
        assert!(file.topics().is_empty());
        for topics in [vec!["a/status".to_string()], vec!["a/status".to_string(), "alarm/x.a".to_string()]] {
            file.set(topics.iter());
            assert_eq!(file.topics().len(), topics.len(), "at once");
        }
        let expected = "a/status\nalarm/x.a\n";
        while std::fs::read_to_string(&path).unwrap_or_default() != expected {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(RetainedFile::load(path.clone()).await.topics(), file.topics());
        std::fs::remove_file(&path).unwrap();
    }
}
