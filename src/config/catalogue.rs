//! What is known of devices beside the site's own tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::alarm::settings::RuleSettings;
use crate::energy::tariff::Tariff;
use crate::flood::scheme::Scheme;
use crate::model::calendar::Calendar;
use crate::profile::Profile;
use crate::profile::vocabulary::Vocabulary;

/// Everything that describes devices: compiled in, overridden by the site's files.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    pub vocabulary: Vocabulary,
    pub profiles: BTreeMap<String, Arc<Profile>>,
    /// Class -> rule name -> rule.
    pub rules: BTreeMap<String, BTreeMap<String, Template>>,
    pub calendars: BTreeMap<String, Calendar>,
    pub tariffs: BTreeMap<String, Arc<Tariff>>,
    pub flood_schemes: BTreeMap<String, Arc<Scheme>>,
}

/// An alarm rule with the TOML table that it was read from.
#[derive(Clone, Debug)]
pub struct Template {
    pub rule: RuleSettings,
    /// The table as written, so that an override can change single keys.
    pub table: toml::Table,
}
