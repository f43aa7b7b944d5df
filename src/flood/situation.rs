//! The situation in words: level, water and pumps of each sump, and what is not ready. Titles and bodies in both languages.

use crate::flood::readiness::Readiness;
use crate::flood::scheme::Scheme;
use crate::flood::view::no_level;
use crate::model::point::LocalizedText;
use crate::model::text::format_number;

/// What is known of a sump.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SumpSituation {
    pub name: LocalizedText,
    /// None: nobody knows.
    pub level_m: Option<f64>,
    pub rise_cm_min: Option<f64>,
    pub pumps: usize,
    pub running: Option<usize>,
    /// Until water comes out with what would run; none: not known; a day: it does not.
    pub to_floor_min: Option<f64>,
}

/// Items that are named one by one; more of them are counted.
const NAMED_MAX: usize = 6;

fn number(value: Option<f64>) -> String {
    value.map_or("?".to_string(), format_number)
}

fn sump(of: &SumpSituation) -> LocalizedText {
    let (level, rise) = (number(of.level_m), number(of.rise_cm_min));
    let running = of.running.map_or("?".to_string(), |running| running.to_string());
    let (zh, en) = match of.to_floor_min {
        Some(min) if min >= 1_440.0 => ("，不会溢出".to_string(), ", does not overflow".to_string()),
        Some(min) => {
            let min = format_number(min);
            (format!("，预计 {min} 分钟后溢出"), format!(", overflows in {min} min"))
        }
        None => (String::new(), String::new()),
    };
    let (name_zh, name_en, pumps) = (&of.name.zh, &of.name.en, of.pumps);
    LocalizedText::both(
        format!("{name_zh}：水位 {level} m，{rise} cm/分，水泵运行 {running}/{pumps}{zh}"),
        format!("{name_en}: level {level} m, {rise} cm/min, pumps running {running} of {pumps}{en}"),
    )
}

/// Title and body; `since`: since when the level is, as people write it.
pub fn situation(
    scheme: &Scheme,
    (rank, since): (u8, &str),
    sumps: &[SumpSituation],
    readiness: &Readiness,
) -> (LocalizedText, LocalizedText) {
    let name = scheme.level(rank).map_or_else(no_level, |level| level.name.clone());
    let ready = readiness.pct.map_or(String::new(), |pct| format!(" {pct} %"));
    let title = LocalizedText::both(
        format!("防汛情况：{}（自 {since}），排水准备{ready}", name.zh),
        format!("Flood situation: {} since {since}, ready to pump{ready}", name.en),
    );
    let mut lines: Vec<LocalizedText> = sumps.iter().map(sump).collect();
    let named = readiness.open.iter().take(NAMED_MAX);
    lines.extend(named.map(|open| {
        let unknown = |is_known: bool, text: &'static str| if is_known { "" } else { text };
        let zh = format!("未就绪：{}{}", open.zh, unknown(open.is_known, "（未知）"));
        let en = format!("Not ready: {}{}", open.en, unknown(open.is_known, " (not known)"));
        LocalizedText::both(zh, en)
    }));
    let more = readiness.open.len().saturating_sub(NAMED_MAX);
    if more > 0 {
        lines.push(LocalizedText::both(format!("另有 {more} 项未就绪"), format!("{more} more are not ready")));
    }
    let joined = |is_chinese: bool| {
        let all: Vec<&str> = lines.iter().map(|line| line.in_language(is_chinese)).collect();
        all.join("\n")
    };
    (title, LocalizedText::both(joined(true), joined(false)))
}
