//! What the flood rules are built from.

use std::sync::Arc;

use crate::flood::area::SitePlace;
use crate::flood::pumping::SumpGeometry;
use crate::flood::scheme::Scheme;
use crate::flood::settings::FloodRecipient;
use crate::model::point::LocalizedText;

/// A part of the configuration, checked and resolved. Without a scheme there is no level; water is computed all the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloodPlan {
    pub scheme: Option<Arc<Scheme>>,
    /// None: every warning of the feeds concerns the site.
    pub place: Option<SitePlace>,
    pub feeds: Vec<FeedPlan>,
    pub sumps: Vec<SumpPlan>,
    /// What only people can see, and tick when they have looked.
    pub items: Vec<FloodItem>,
    /// Who gets notices and reports.
    pub recipients: Vec<FloodRecipient>,
    /// Rain gauges: devices with a rising total `rain_mm`.
    pub gauges: Vec<Arc<str>>,
}

/// A feed of warnings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedPlan {
    pub name: Arc<str>,
    /// Whether it is asked at intervals, so that its silence can be seen.
    pub is_polled: bool,
    /// Whether each of its warnings concerns the site, whatever area it names.
    pub concerns_site: bool,
}

/// Something that people look at, and for how long that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FloodItem {
    pub id: String,
    pub name: LocalizedText,
    pub valid_ms: u64,
}

/// A sump with what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct SumpPlan {
    pub device: Arc<str>,
    pub geometry: SumpGeometry,
    /// How many pumps have a run signal.
    pub pumps: usize,
    /// Whether the pumps' selectors are read.
    pub has_selector: bool,
    /// Points that nothing else gives.
    pub gives: Vec<Arc<str>>,
}
