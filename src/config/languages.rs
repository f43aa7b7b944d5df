//! Names and texts that people write in Chinese, in English or in both: the one that is missing falls back on the other.

use crate::config::doc::{Located, Problems, TomlEntry};
use crate::config::tables::Files;
use crate::model::point::LocalizedText;

/// Fills in what is missing of site, devices, people and telephone numbers; an error where neither language is written.
pub fn fall_back(files: &mut Files<'_>, problems: &mut Problems) {
    for TomlEntry { value, table } in &mut files.site {
        one((&mut value.zh, &mut value.en), table, &[], problems);
    }
    for TomlEntry { value, table } in &mut files.device {
        one((&mut value.zh, &mut value.en), table, &[], problems);
    }
    for TomlEntry { value, table } in &mut files.person {
        one((&mut value.zh, &mut value.en), table, &[], problems);
    }
    for TomlEntry { value, table } in &mut files.oncall {
        for (i, phone) in value.phone.iter_mut().enumerate() {
            one((&mut phone.zh, &mut phone.en), table, &["phone", &i.to_string()], problems);
        }
    }
}

fn one((zh, en): (&mut String, &mut String), table: &Located<'_>, path: &[&str], problems: &mut Problems) {
    if !LocalizedText::fall_back(zh, en) {
        problems.error(table.location(path), "there is no name", "zh = \"…\" or en = \"…\", or both");
    }
}
