//! What the door shows and passes on.

use std::sync::Arc;

use crate::alarm::event::{Action, Command as AlarmCommand, Seen};
use crate::app::{Shared, decisions, pages, questions};
use crate::engine::Input;
use crate::model::point::Names;
use crate::model::text::{KEY, REMARK, one_line};
use crate::oncall::page::Command;
use crate::oncall::settings::Language;
use crate::sink::mqtt::commands::{Carry, Wish};
use crate::web::door::View;
use crate::web::page::AlarmPage;

/// What the door asks.
pub fn view(shared: &Arc<Shared>) -> View {
    let (a, b, c, d) = (Arc::clone(shared), Arc::clone(shared), Arc::clone(shared), Arc::clone(shared));
    View {
        page: Arc::new(move |token| page(&a, token)),
        take: Arc::new(move |token| {
            let shared = Arc::clone(&b);
            Box::pin(async move {
                let page = shared.tokens.page(&token).ok_or("that is no page of ours")?;
                tracing::info!(page, "a page is answered through the door");
                pages::tell(&shared, &Command::Take { page, how: "link".to_string() }).await
            })
        }),
        alarms: Arc::new(move || serde_json::to_value(questions::alarms(&c, false)).unwrap_or_default()),
        acknowledge: Arc::new(move |key, by, note| {
            let shared = Arc::clone(&d);
            Box::pin(async move {
                let key = one_line(&key, KEY);
                tracing::info!(key, by, "alarm");
                let command = AlarmCommand { key, action: Action::Acknowledge, by, note };
                decisions::decide(&shared, Input::Command(&command)).await
            })
        }),
    }
}

/// Carries out what is wished through a broker.
pub fn carry(shared: &Arc<Shared>) -> Carry {
    let view = view(shared);
    let shared = Arc::clone(shared);
    Arc::new(move |wish: Wish| {
        if !wish.token.is_empty() {
            return (view.take)(wish.token);
        }
        let by = one_line(&wish.by, REMARK);
        // A broker says nothing of who publishes: at least it is somebody of the configuration.
        let known = shared.engine().oncall().knows(&by);
        match known {
            Ok(()) => (view.acknowledge)(one_line(&wish.alarm, KEY), by, one_line(&wish.note, REMARK)),
            Err(why) => Box::pin(async move { Err(why) }),
        }
    })
}

/// The page of a token; none where it is none of ours, or what it was for is over.
fn page(shared: &Shared, token: &str) -> Option<AlarmPage> {
    let id = shared.tokens.page(token)?;
    let (engine, configuration) = (shared.engine(), shared.configuration());
    let (key, incident, page) = engine.oncall().page(id)?;
    let person = engine.oncall().plan().people.get(&page.whom);
    let language = person.map(|p| p.language).unwrap_or_default();
    let zh = language == Language::Zh;
    let say = |zh_text: &str, en_text: &str| if zh { zh_text } else { en_text }.to_string();
    let of = |names: &Names| if zh { names.zh.clone() } else { names.en.clone() };
    let Some((of_alarm, alarm)) = engine.alarm(key) else {
        // A page for a trial.
        let is_open = incident.stage == crate::oncall::incident::Stage::Wanted;
        return Some(AlarmPage {
            zh,
            priority: "TEST".to_string(),
            title: say("呼叫测试", "A page for a trial"),
            lines: vec![(say("人员", "person"), page.whom.to_string())],
            can_take: is_open && !page.used,
            ..AlarmPage::default()
        });
    };
    let (subject, _) = pages::subject(&engine, &configuration, key);
    let owner = engine.oncall().plan().people.get(alarm.owner.as_str());
    let owner = owner.map_or_else(|| alarm.owner.clone(), |p| of(&p.names));
    let mut lines = vec![
        (say("地点", "where"), format!("{} {}", subject.area, of(&subject.name)).trim().to_string()),
        (say("时间", "since"), subject.since.clone()),
        (say("状态", "state"), say(in_chinese(alarm.seen()), alarm.seen().word())),
        (say("负责人", "owner"), owner),
        (say("备注", "note"), alarm.note.clone()),
        (say("编号", "alarm"), format!("{key} #{}", alarm.occurrence)),
    ];
    for other in page.with.iter().filter_map(|id| engine.oncall().page(*id)) {
        let (subject, _) = pages::subject(&engine, &configuration, other.0);
        lines.push((say("同时", "and"), of(&subject.text)));
    }
    lines.retain(|(_, text)| !text.is_empty());
    Some(AlarmPage {
        zh,
        priority: alarm.priority(of_alarm).word().to_string(),
        title: of(&subject.text),
        action: of(&subject.action),
        lines,
        can_take: alarm.waits && !page.used,
    })
}

/// How an alarm is seen, for those who read Chinese.
fn in_chinese(seen: Seen) -> &'static str {
    match seen {
        Seen::Normal => "正常",
        Seen::Unacknowledged => "待确认",
        Seen::Acknowledged => "已确认，处理中",
        Seen::Returned => "已恢复，待确认",
        Seen::Latched => "已恢复，待检查复位",
        Seen::Shelved => "已搁置",
        Seen::Suppressed => "由其他告警引起",
        Seen::OutOfService => "已停用",
    }
}
