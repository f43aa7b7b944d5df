//! CAP 1.2 and 1.1 (OASIS; the same text is ITU-T X.1303 bis), and the Atom or RSS lists of such documents.
//!
//! Read liberally: order of elements, empty elements, values that the standard does not name and elements of other namespaces (signatures)
//! do not matter. A message without sender, identifier or date of sending is refused, since nothing could refer to it. Signatures are not
//! checked: whoever can change what an address answers is believed.

use jiff::Timestamp;
use thiserror::Error;

use crate::intake::xml::{self, Element, XmlError};
use crate::model::text::hex;
use crate::model::time::UnixMillis;
use crate::model::warning::{
    Circle, Coordinates, Warning, WarningArea, WarningId, WarningInfo, WarningKind, WarningStatus,
};

const CAP_1_2: &str = "urn:oasis:names:tc:emergency:cap:1.2";
const CAP_1_1: &str = "urn:oasis:names:tc:emergency:cap:1.1";
const ATOM: &str = "http://www.w3.org/2005/Atom";

/// Areas of a message at most, over all its infos.
const AREAS_MAX: usize = 2_000;
/// Corners of all polygons at most.
const CORNERS_MAX: usize = 50_000;
/// Messages that one refers to at most.
const REFERENCES_MAX: usize = 500;
/// Characters of an identifier or sender at most.
const ID_MAX: usize = 200;
/// Languages and areas of a message at most; national ones have two, some services dozens.
const INFOS_MAX: usize = 64;
/// Characters of a text that are kept.
const TEXT_MAX: usize = 4_000;
/// Documents of a list at most; that of the Chinese service has 500.
const LIST_MAX: usize = 2_000;

/// Why a document is no warning and no list of warnings.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CapError {
    #[error("{0}")]
    Xml(#[from] XmlError),
    #[error("its root is <{name}> of namespace {namespace:?}: neither a CAP 1.2 or 1.1 alert nor an Atom or RSS list")]
    Root { name: String, namespace: String },
    #[error("it has no <{0}>, or one of more than {ID_MAX} characters")]
    Missing(&'static str),
    #[error("{0:?} in <sent> is no date and time with its offset from UTC")]
    Sent(String),
    #[error(
        "it has more than {INFOS_MAX} infos, {AREAS_MAX} areas, {CORNERS_MAX} corners of polygons or {REFERENCES_MAX} references"
    )]
    TooMany,
}

/// What an address of a service answered.
#[derive(Clone, Debug, PartialEq)]
pub enum CapDocument {
    Warning(Box<Warning>),
    /// Addresses of warnings, in the order of the list.
    List(Vec<String>),
}

/// Reads a document.
///
/// # Errors
/// It is neither, or beyond a limit.
pub fn read(document: &[u8]) -> Result<CapDocument, CapError> {
    let root = xml::parse(document)?;
    match (root.namespace.as_str(), root.name.as_str()) {
        (CAP_1_2 | CAP_1_1, "alert") => Ok(CapDocument::Warning(Box::new(warning(&root, hash(document))?))),
        (ATOM, "feed") => Ok(CapDocument::List(entries(root.named("entry"), atom_link)?)),
        ("", "rss") => {
            let items = root.named("channel").flat_map(|channel| channel.named("item"));
            Ok(CapDocument::List(entries(items, |item| Some(item.text_of("link").to_string()))?))
        }
        (namespace, name) => {
            let short = |text: &str| text.chars().take(80).collect();
            Err(CapError::Root { name: short(name), namespace: short(namespace) })
        }
    }
}

/// SHA-256 in hexadecimal digits.
fn hash(document: &[u8]) -> String {
    hex(ring::digest::digest(&ring::digest::SHA256, document).as_ref())
}

fn entries<'a>(
    entries: impl Iterator<Item = &'a Element>,
    link: impl Fn(&Element) -> Option<String>,
) -> Result<Vec<String>, CapError> {
    let links: Vec<String> = entries.filter_map(link).filter(|link| !link.is_empty()).take(LIST_MAX + 1).collect();
    if links.len() > LIST_MAX { Err(CapError::TooMany) } else { Ok(links) }
}

/// The link to the CAP document if there is one of that type, else the first that is no other form of the entry itself.
fn atom_link(entry: &Element) -> Option<String> {
    let is_cap = |link: &&Element| link.attribute("type").is_some_and(|of| of.contains("cap+xml"));
    let is_entry = |link: &&Element| link.attribute("rel").is_none_or(|rel| rel == "alternate");
    let found = entry.named("link").find(is_cap).or_else(|| entry.named("link").find(is_entry));
    found.and_then(|link| link.attribute("href")).map(str::to_string)
}

fn warning(alert: &Element, hash: String) -> Result<Warning, CapError> {
    let id = |name: &'static str| {
        let text = alert.text_of(name);
        let fits = !text.is_empty() && text.chars().count() <= ID_MAX;
        if fits { Ok(text.to_string()) } else { Err(CapError::Missing(name)) }
    };
    let (identifier, sender, sent) = (id("identifier")?, id("sender")?, id("sent")?);
    if alert.named("info").count() > INFOS_MAX {
        return Err(CapError::TooMany);
    }
    let infos: Vec<WarningInfo> = alert.named("info").map(info).collect();
    let areas = || infos.iter().flat_map(|info| &info.areas);
    let corners = areas().flat_map(|area| &area.polygons).map(Vec::len).sum::<usize>();
    let references = references(alert.text_of("references"));
    if areas().count() > AREAS_MAX || corners > CORNERS_MAX || references.len() > REFERENCES_MAX {
        return Err(CapError::TooMany);
    }
    let date = date(&sent).ok_or(CapError::Sent(sent))?;
    let status = match alert.text_of("status") {
        "Actual" => WarningStatus::Actual,
        "Exercise" => WarningStatus::Exercise,
        _ => WarningStatus::Other,
    };
    let kind = match alert.text_of("msgType") {
        "Alert" => WarningKind::Alert,
        "Update" => WarningKind::Update,
        "Cancel" => WarningKind::Cancel,
        _ => WarningKind::Other,
    };
    Ok(Warning { id: WarningId { sender, identifier }, sent: date, status, kind, references, infos, hash })
}

/// `sender,identifier,sent` with spaces between; what has another form is left out.
fn references(text: &str) -> Vec<WarningId> {
    let reference = |one: &str| {
        let (sender, rest) = one.split_once(',')?;
        // An identifier has no comma by the standard.
        let identifier = rest.split(',').next()?;
        if sender.chars().count() > ID_MAX || identifier.chars().count() > ID_MAX {
            return None;
        }
        Some(WarningId { sender: sender.to_string(), identifier: identifier.to_string() })
    };
    text.split_whitespace().filter_map(reference).collect()
}

fn date(text: &str) -> Option<UnixMillis> {
    text.parse::<Timestamp>().ok().map(|at| UnixMillis(at.as_millisecond()))
}

fn info(info: &Element) -> WarningInfo {
    let text = |name: &str| info.text_of(name).chars().take(TEXT_MAX).collect();
    WarningInfo {
        language: text("language"),
        event: text("event"),
        event_codes: named_values(info, "eventCode"),
        urgency: text("urgency"),
        severity: text("severity"),
        certainty: text("certainty"),
        effective: date(info.text_of("effective")),
        onset: date(info.text_of("onset")),
        expires: date(info.text_of("expires")),
        headline: text("headline"),
        description: text("description"),
        instruction: text("instruction"),
        parameters: named_values(info, "parameter"),
        areas: info.named("area").map(area).collect(),
    }
}

fn named_values(of: &Element, name: &str) -> Vec<(String, String)> {
    of.named(name).map(|one| (one.text_of("valueName").to_string(), one.text_of("value").to_string())).collect()
}

/// A polygon or circle that cannot be read is left out: the area may still match by its code.
fn area(area: &Element) -> WarningArea {
    WarningArea {
        name: area.text_of("areaDesc").to_string(),
        polygons: area.named("polygon").filter_map(|p| polygon(&p.text)).collect(),
        circles: area.named("circle").filter_map(|c| circle(&c.text)).collect(),
        geocodes: named_values(area, "geocode"),
    }
}

/// Pairs `latitude,longitude` with spaces between; at least three.
fn polygon(text: &str) -> Option<Vec<Coordinates>> {
    let corners: Vec<Coordinates> = text.split_whitespace().map(position).collect::<Option<_>>()?;
    (corners.len() >= 3).then_some(corners)
}

fn position(text: &str) -> Option<Coordinates> {
    let (latitude, longitude) = text.split_once(',')?;
    let (latitude, longitude) = (latitude.parse::<f64>().ok()?, longitude.parse::<f64>().ok()?);
    let fits = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
    fits.then_some(Coordinates { latitude, longitude })
}

/// `latitude,longitude radius`.
fn circle(text: &str) -> Option<Circle> {
    let (centre, radius) = text.trim().split_once(char::is_whitespace)?;
    let radius_km = radius.trim().parse::<f64>().ok().filter(|km| km.is_finite() && *km >= 0.0)?;
    Some(Circle { centre: position(centre)?, radius_km })
}
