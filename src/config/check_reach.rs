//! Whether notifications can reach their recipients: addresses that fit their channel, shifts that have begun, priorities
//! covered by a chain, tokens that exist.

use crate::channel;
use crate::config::Files;
use crate::config::doc::Problems;
use crate::model::priority::Priority;
use crate::model::time::UnixMillis;
use crate::oncall::plan::OncallPlan;
use crate::oncall::settings::Contact;

/// Why an address does not fit its channel, with an example; `None` if it fits.
pub fn address_problem(channel: &channel::ChannelSettings, contact: &Contact) -> Option<(String, &'static str)> {
    let to = contact.to.as_str();
    let digits = to.chars().filter(char::is_ascii_digit).count();
    let is_number = to.chars().all(|c| c.is_ascii_digit() || "+- ()".contains(c)) && (5..=15).contains(&digits);
    let is_mail = to.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty() && host.contains('.') && !host.ends_with('.') && !to.contains(char::is_whitespace)
    });
    let is_topic = to.len() <= 64 && to.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    match channel {
        _ if to.is_empty() => None,
        channel::ChannelSettings::Sms(_) if !is_number => {
            Some((format!("`{to}` is no telephone number"), "+8613800001111"))
        }
        channel::ChannelSettings::Email(_) if !is_mail => {
            Some((format!("`{to}` is no mail address"), "name@example.com"))
        }
        channel::ChannelSettings::Ntfy(_) if !is_topic => {
            Some((format!("`{to}` is no topic"), "letters, digits, - and _, at most 64 of them"))
        }
        _ => None,
    }
}

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
        for (i, token) in entry.value.token.iter().enumerate() {
            let place = || entry.table.location(&["token", &i.to_string(), "token_file"]);
            match crate::http::secret(None, Some(&token.token_file)) {
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
