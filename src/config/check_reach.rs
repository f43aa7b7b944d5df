//! Whether notifications can reach their recipients: addresses that fit their channel, shifts that have begun, priorities
//! covered by a chain, tokens that exist.

use crate::config::doc::Problems;
use crate::config::tables::Files;
use crate::model::priority::Priority;
use crate::model::time::UnixMillis;
use crate::oncall::plan::OncallPlan;

/// Warns about priorities that no chain covers, shifts that have not begun, and unusable tokens.
pub fn check(files: &Files<'_>, plan: &OncallPlan, now: UnixMillis, problems: &mut Problems) {
    if let Some(first_policy) = files.chain.first() {
        warn_uncovered_priorities(first_policy, plan, problems);
    }
    for entry in &files.rota {
        for (i, shift) in entry.value.shift.iter().enumerate() {
            let since = shift.since.as_ref().and_then(|s| s.parse::<jiff::civil::Date>().ok());
            let begins = since.and_then(|d| d.to_zoned(plan.zone.clone()).ok()).map(|z| z.timestamp().as_millisecond());
            if begins.is_some_and(|at| at > now.0) && now.0 > 0 {
                let place = entry.table.location(&["shift", &i.to_string(), "since"]);
                let what = format!("rota `{}`: this shift has not begun yet", entry.value.id);
                problems.warning(
                    place,
                    what,
                    "`since` is the day on which the first of `people` begins: one in the past",
                );
            }
        }
    }
    warn_unusable_tokens(files, problems);
}

/// Warns about priorities of devices that no chain covers.
fn warn_uncovered_priorities(
    first_policy: &crate::config::doc::TomlEntry<'_, crate::oncall::settings::Chain>,
    plan: &OncallPlan,
    problems: &mut Problems,
) {
    for priority in [Priority::P1, Priority::P2, Priority::P3] {
        let uncovered = plan.device_tags.keys().filter(|device| plan.escalation_policy(priority, device).is_none());
        let uncovered_devices: Vec<&str> = uncovered.map(String::as_str).collect();
        if uncovered_devices.is_empty() {
            continue;
        }
        let whose = if uncovered_devices.len() == plan.device_tags.len() {
            "any device".to_string()
        } else {
            uncovered_devices.join(", ")
        };
        let what = format!("{} of {whose} is told to nobody: no [[chain]] is meant for it", priority.word());
        let hint = "a [[chain]] without priorities, classes and areas, behind the others, takes what is left";
        problems.warning(first_policy.table.location(&["priorities"]), what, hint);
    }
}

/// Warns about token files that are missing or too short: requests with such a token would be refused.
fn warn_unusable_tokens(files: &Files<'_>, problems: &mut Problems) {
    for entry in &files.web {
        let loaded = crate::http::files::LoadedFiles::read(&entry.value.files());
        for (i, token) in entry.value.token.iter().enumerate() {
            let place = || entry.table.location(&["token", &i.to_string(), "token_file"]);
            match loaded.secret(None, Some(&token.token_file)) {
                Ok(Some(text)) if text.len() >= crate::web::server::TOKEN_MIN => {}
                Ok(text) => {
                    let length = text.map_or(0, |t| t.len());
                    let what = format!("the token of `{}` has {length} characters", token.id);
                    problems.warning(
                        place(),
                        what,
                        "16 or more: openssl rand -hex 16 > FILE; until then it is refused",
                    );
                }
                Err(why) => {
                    let what = format!("the token of `{}` cannot be read: {why}", token.id);
                    problems.warning(place(), what, "openssl rand -hex 16 > FILE, readable by the gateway only");
                }
            }
        }
    }
}
