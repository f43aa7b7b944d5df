//! The text of an alarm: its rule's template with the device's name, the value and the limit.

use std::collections::BTreeMap;

use crate::model::directory::DeviceInfo;
use crate::model::point::LocalizedText;
use crate::model::text::{format_number, whole};

/// What fills a template.
#[derive(Clone, Copy, Debug)]
pub struct AlarmTextValues<'a> {
    /// Device whose name and area are inserted.
    pub device: &'a DeviceInfo,
    /// For `{v}`; none is printed as a dash.
    pub value: Option<f64>,
    /// For `{limit}`; none is printed as a dash.
    pub limit: Option<f64>,
    /// Texts that stand for values; of others the number is shown.
    pub value_texts: &'a BTreeMap<i64, LocalizedText>,
    /// Whether it comes of a trial: the text begins with that.
    pub is_test: bool,
}

/// A template with `{device}`, `{area}`, `{v}` and `{limit}`, filled in both languages.
pub fn alarm_text(template: &LocalizedText, values: AlarmTextValues<'_>) -> LocalizedText {
    let none = || LocalizedText::both("–", "–");
    let text = |v: Option<f64>| v.map_or_else(none, |value| value_text(values.value_texts, value));
    let (value, limit) = (text(values.value), text(values.limit));
    let fill = |template: &str, name: &str, test: &str, is_chinese: bool| {
        let of = |word: &str| match word {
            "area" => Some(values.device.area.as_str()),
            "v" => Some(value.in_language(is_chinese)),
            "limit" => Some(limit.in_language(is_chinese)),
            _ => None,
        };
        let mut text = String::with_capacity(template.len() + name.len() + 24);
        if values.is_test {
            text.extend([test, " "]);
        }
        filled(template, name, &of, &mut text);
        text
    };
    LocalizedText {
        zh: fill(&template.zh, &values.device.name.zh, "【测试】TEST", true),
        en: fill(&template.en, &values.device.name.en, "TEST", false),
    }
}

/// A value for people: its text where it has one, else its number.
pub fn value_text(texts: &BTreeMap<i64, LocalizedText>, value: f64) -> LocalizedText {
    let text = whole(value).and_then(|code| texts.get(&code)).cloned();
    text.unwrap_or_else(|| format_number(value).into())
}

/// Appends the template with what stands for its words in braces; other braces stay as they are. Words that end the device's name and
/// follow it in the template are not repeated: `1#集水井` and `集水井高液位` are `1#集水井高液位`.
fn filled<'a>(template: &str, name: &str, of: &impl Fn(&str) -> Option<&'a str>, out: &mut String) {
    let (mut rest, mut is_first) = (template, true);
    while let Some((before, tail)) = rest.split_once('{') {
        out.push_str(before);
        let known = tail.split_once('}').and_then(|(word, after)| match word {
            "device" => Some((name, after)),
            _ => Some((of(word)?, after)),
        });
        let Some((text, after)) = known else {
            out.push('{');
            rest = tail;
            continue;
        };
        out.push_str(text);
        rest = after;
        if is_first && tail.starts_with("device}") {
            is_first = false;
            let ends = after.char_indices().map(|(at, c)| at + c.len_utf8()).skip(1);
            let repeated = ends.filter(|end| name.ends_with(&after[..*end])).last().unwrap_or(0);
            rest = &after[repeated..];
        }
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::filled;

    fn with_name(template: &str, name: &str) -> String {
        let mut out = String::new();
        filled(template, name, &|word| (word == "area").then_some("B2 {v}"), &mut out);
        out
    }

    #[test]
    fn what_a_name_ends_with_is_not_said_twice() {
        assert_eq!(with_name("{device}集水井高液位 {v} m", "地库1#集水井"), "地库1#集水井高液位 {v} m");
        assert_eq!(with_name("{device}集水井高液位", "地库1#"), "地库1#集水井高液位");
        assert_eq!(with_name("{device}发电机启动失败", "1#发电机"), "1#发电机启动失败");
        assert_eq!(with_name("{device}水浸", "车库1#水浸"), "车库1#水浸");
        assert_eq!(with_name("{device}: tripped", "Pump 1"), "Pump 1: tripped");
        assert_eq!(with_name("no device", "Pump"), "no device");
        // What is filled in is no template, and other braces are text.
        assert_eq!(with_name("{device} in {area}: {x} {", "P {area}"), "P {area} in B2 {v}: {x} {");
        assert_eq!(with_name("{device} and {device}", "P"), "P and P");
    }
}
