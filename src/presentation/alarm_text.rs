//! The text of an alarm: its rule's template with the device's name, the value and the limit.

use crate::model::directory::DeviceInfo;
use crate::model::point::LocalizedText;
use crate::model::text::format_number;

/// What fills a template.
#[derive(Clone, Copy, Debug)]
pub struct AlarmTextValues<'a> {
    /// Device whose name and area are inserted.
    pub device: &'a DeviceInfo,
    /// For `{v}`; none is printed as a dash.
    pub value: Option<f64>,
    /// For `{limit}`; none is printed as a dash.
    pub limit: Option<f64>,
    /// Whether it comes of a trial: the text begins with that.
    pub is_test: bool,
}

/// A template with `{device}`, `{area}`, `{v}` and `{limit}`, filled in both languages.
pub fn alarm_text(template: &LocalizedText, values: AlarmTextValues<'_>) -> LocalizedText {
    let number = |v: Option<f64>| v.map_or("–".to_string(), format_number);
    let fill = |template: &str, name: &str, test: &str| {
        let text = with_name(template, name)
            .replace("{area}", &values.device.area)
            .replace("{v}", &number(values.value))
            .replace("{limit}", &number(values.limit));
        if values.is_test { format!("{test} {text}") } else { text }
    };
    LocalizedText {
        zh: fill(&template.zh, &values.device.name.zh, "【测试】TEST"),
        en: fill(&template.en, &values.device.name.en, "TEST"),
    }
}

/// The template with the device's name; words that end the name and follow it in the template are not repeated: `1#集水井` and
/// `集水井高液位` are `1#集水井高液位`.
fn with_name(template: &str, name: &str) -> String {
    let Some((before, after)) = template.split_once("{device}") else { return template.to_string() };
    let ends = after.char_indices().map(|(at, c)| at + c.len_utf8()).skip(1);
    let repeated = ends.filter(|end| name.ends_with(&after[..*end])).last().unwrap_or(0);
    format!("{before}{name}{}", &after[repeated..]).replace("{device}", name)
}

#[cfg(test)]
mod tests {
    use super::with_name;

    #[test]
    fn what_a_name_ends_with_is_not_said_twice() {
        assert_eq!(with_name("{device}集水井高液位 {v} m", "地库1#集水井"), "地库1#集水井高液位 {v} m");
        assert_eq!(with_name("{device}集水井高液位", "地库1#"), "地库1#集水井高液位");
        assert_eq!(with_name("{device}发电机启动失败", "1#发电机"), "1#发电机启动失败");
        assert_eq!(with_name("{device}水浸", "车库1#水浸"), "车库1#水浸");
        assert_eq!(with_name("{device}: tripped", "Pump 1"), "Pump 1: tripped");
        assert_eq!(with_name("no device", "Pump"), "no device");
    }
}
