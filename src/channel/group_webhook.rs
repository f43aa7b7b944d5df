//! Group chat webhooks (robots): WeCom (unsigned), DingTalk (signature in the URL), Feishu (signature in the body).
//!
//! These services answer HTTP 200 for failures too: the outcome is in the error code of the body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::channel::error::ChannelError;
use crate::channel::{
    BoxFuture, Channel, ChannelKind, HttpAnswer, address_problems, hmac, outcome_by_status, send_request,
};
use crate::channel::{ClientCell, MINUTE_MS, named_files};
use crate::http;
use crate::http::files::{LoadedFiles, NamedFile};
use crate::model::notification::RateLimit;
use crate::model::notification::{DeliveryOutcome, Notification, cut_bytes};
use crate::model::settings::SettingsProblem;
use crate::model::time::UnixMillis;

/// A robot of a group chat: `[[channel.wecom]]`, `[[channel.dingtalk]]`, `[[channel.feishu]]`. A contact's `to` is whom it
/// mentions: a mobile number or a user id; empty: nobody.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupWebhookSettings {
    /// The channel's id, unique among channels: lower-case letters, digits, `-` and `_`.
    pub id: String,
    /// Where its service is, if not at the vendor's own address.
    #[serde(default)]
    pub url: String,
    /// What the vendor's address of the robot ends with: WeCom's `key`, DingTalk's `access_token`, Feishu's last part. It is a
    /// secret; better in a file.
    pub key: Option<String>,
    /// File that holds it.
    pub key_file: Option<String>,
    /// What messages are signed with (DingTalk, Feishu), if the robot wants that; better in a file.
    pub secret: Option<String>,
    /// File that holds it.
    pub secret_file: Option<String>,
    /// PEM file with the authorities that are trusted. Default: the system's.
    pub ca_file: Option<String>,
    /// Messages a minute, where it is not 80 % of the vendor's limit.
    pub per_min: Option<u32>,
}

impl ChannelKind for GroupWebhookSettings {
    fn id(&self) -> &str {
        &self.id
    }

    fn per_min(&self) -> Option<u32> {
        self.per_min
    }

    fn service_limit(&self, kind: &str) -> RateLimit {
        // Burst and refill of one minute add up to 16 messages of 20, 80 of 100 for Feishu.
        match vendor(kind) {
            GroupWebhookVendor::Wecom => RateLimit { per_min: 10.0, burst: 6.0, cooldown_ms: MINUTE_MS },
            GroupWebhookVendor::Dingtalk => RateLimit { per_min: 10.0, burst: 6.0, cooldown_ms: 10 * MINUTE_MS },
            GroupWebhookVendor::Feishu => RateLimit { per_min: 76.0, burst: 4.0, cooldown_ms: MINUTE_MS },
        }
    }

    fn files(&self) -> Vec<NamedFile> {
        let secrets = [("key_file", &self.key_file), ("secret_file", &self.secret_file)];
        // Without an address it is the vendor's, by HTTPS.
        named_files(&secrets, self.ca_file.as_ref(), self.url.is_empty() || http::is_tls(&self.url))
    }

    fn problems(&self) -> Vec<SettingsProblem> {
        let is_twice =
            self.key.is_some() && self.key_file.is_some() || self.secret.is_some() && self.secret_file.is_some();
        let url = if self.url.is_empty() { "https://vendor" } else { &self.url };
        let mut out = address_problems(url, is_twice);
        if self.key.is_none() && self.key_file.is_none() {
            out.push(("id", "no key".to_string(), "key_file = \"…\": what the robot's address ends with"));
        }
        out
    }

    fn open(&self, kind: &str, files: &LoadedFiles) -> Box<dyn Channel> {
        Box::new(GroupWebhook::new(vendor(kind), self.clone(), files.clone()))
    }
}

fn vendor(kind: &str) -> GroupWebhookVendor {
    match kind {
        "wecom" => GroupWebhookVendor::Wecom,
        "dingtalk" => GroupWebhookVendor::Dingtalk,
        _ => GroupWebhookVendor::Feishu,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupWebhookVendor {
    /// A key in the URL, no signature.
    Wecom,
    /// A signature in the URL.
    Dingtalk,
    /// A signature in the body.
    Feishu,
}

/// A channel that posts to a group chat webhook.
pub struct GroupWebhook {
    vendor: GroupWebhookVendor,
    settings: GroupWebhookSettings,
    client: ClientCell,
    files: LoadedFiles,
}

/// DingTalk's `sign` parameter: HMAC of "milliseconds, newline, secret" with the secret as key.
pub fn dingtalk_sign(secret: &str, ms: i64) -> String {
    BASE64.encode(hmac(secret.as_bytes(), format!("{ms}\n{secret}").as_bytes()))
}

/// Feishu's `sign` member: HMAC of the empty message with "seconds, newline, secret" as key.
pub fn feishu_sign(secret: &str, s: i64) -> String {
    BASE64.encode(hmac(format!("{s}\n{secret}").as_bytes(), b""))
}

/// Clock difference from which a service rejects signatures, seconds.
const CLOCK_OFFSET_MIN_S: i64 = 3_600;

impl GroupWebhook {
    /// Opens no connection before the first attempt.
    pub fn new(vendor: GroupWebhookVendor, settings: GroupWebhookSettings, files: LoadedFiles) -> Self {
        Self { vendor, settings, client: ClientCell::default(), files }
    }

    /// The message in the vendor's JSON format.
    pub fn body(&self, notification: &Notification, secret: Option<&str>, now: UnixMillis) -> Value {
        let (text, to) = (notification.text(), notification.address.as_str());
        let is_mobile =
            to.trim_start_matches('+').len() >= 7 && to.trim_start_matches('+').chars().all(|c| c.is_ascii_digit());
        match self.vendor {
            GroupWebhookVendor::Wecom => {
                let mut of = json!({ "content": cut_bytes(&text, 2_048) });
                if is_mobile {
                    of["mentioned_mobile_list"] = json!([to]);
                } else if !to.is_empty() {
                    of["mentioned_list"] = json!([to]);
                }
                json!({ "msgtype": "text", "text": of })
            }
            GroupWebhookVendor::Dingtalk => {
                let mut at = json!({ "isAtAll": to == "@all" });
                // The mention must be in both `at` and the text, or the person gets no push.
                let mention = match (is_mobile, to.is_empty() || to == "@all") {
                    (_, true) => String::new(),
                    (true, _) => {
                        at["atMobiles"] = json!([to]);
                        format!("\n@{to}")
                    }
                    (false, _) => {
                        at["atUserIds"] = json!([to]);
                        format!("\n@{to}")
                    }
                };
                let content = format!("{}{mention}", cut_bytes(&text, 10_000));
                json!({ "msgtype": "text", "text": { "content": content }, "at": at })
            }
            GroupWebhookVendor::Feishu => {
                let mention = match to {
                    "" => String::new(),
                    "@all" => "<at user_id=\"all\">所有人</at> ".to_string(),
                    id => format!("<at user_id=\"{}\"></at> ", id.replace(['"', '<', '>', '&'], "")),
                };
                let text = format!("{mention}{}", cut_bytes(&text, 10_000));
                let mut body = json!({ "msg_type": "text", "content": { "text": text } });
                if let Some(secret) = secret {
                    let s = now.0.div_euclid(1_000);
                    body["timestamp"] = s.to_string().into();
                    body["sign"] = feishu_sign(secret, s).into();
                }
                body
            }
        }
    }

    fn url(&self, key: &str, secret: Option<&str>, now: UnixMillis) -> Result<reqwest::Url, ChannelError> {
        let own = self.settings.url.trim_end_matches('/');
        let base = |vendor: &'static str| if own.is_empty() { vendor } else { own }.to_string();
        let ms = now.0.to_string();
        let mut query: Vec<(&str, String)> = Vec::new();
        let address = match self.vendor {
            GroupWebhookVendor::Wecom => {
                query.push(("key", key.to_string()));
                format!("{}/cgi-bin/webhook/send", base("https://qyapi.weixin.qq.com"))
            }
            GroupWebhookVendor::Dingtalk => {
                query.push(("access_token", key.to_string()));
                if let Some(secret) = secret {
                    query.push(("timestamp", ms));
                    query.push(("sign", dingtalk_sign(secret, now.0)));
                }
                format!("{}/robot/send", base("https://oapi.dingtalk.com"))
            }
            GroupWebhookVendor::Feishu => format!("{}/open-apis/bot/v2/hook/{key}", base("https://open.feishu.cn")),
        };
        let parsed = if query.is_empty() {
            reqwest::Url::parse(&address)
        } else {
            reqwest::Url::parse_with_params(&address, &query)
        };
        parsed.map_err(|e| ChannelError::Address(e.to_string()))
    }

    async fn send_now(&self, notification: &Notification, now: UnixMillis) -> Result<DeliveryOutcome, ChannelError> {
        let s = &self.settings;
        let key = self.files.secret(s.key.as_ref(), s.key_file.as_ref())?.unwrap_or_default();
        let secret = self.files.secret(s.secret.as_ref(), s.secret_file.as_ref())?;
        let url = self.url(&key, secret.as_deref(), now)?;
        let client = super::cached_client(&self.client, url.as_str(), s.ca_file.as_deref(), &self.files)?;
        let body = self.body(notification, secret.as_deref(), now).to_string();
        let request = client.post(url).header("content-type", "application/json; charset=utf-8").body(body);
        Ok(match send_request(request, now).await {
            Ok(said) => outcome_of(self.vendor, &said),
            Err(answer) => answer,
        })
    }
}

/// The outcome of a response: the body's error code decides, whatever the HTTP status is.
pub fn outcome_of(vendor: GroupWebhookVendor, answer: &HttpAnswer) -> DeliveryOutcome {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let (code, words) = match vendor {
        GroupWebhookVendor::Wecom | GroupWebhookVendor::Dingtalk => (body["errcode"].as_i64(), body["errmsg"].as_str()),
        GroupWebhookVendor::Feishu => (body["code"].as_i64().or(body["StatusCode"].as_i64()), body["msg"].as_str()),
    };
    let Some(code) = code else {
        return match outcome_by_status(answer) {
            // A success status without the error code that these services always send.
            DeliveryOutcome::Accepted => {
                let words: String = answer.body.chars().take(200).collect();
                DeliveryOutcome::Unknown { reason: format!("an answer that is none of a robot's: {}", words.trim()) }
            }
            other => other,
        };
    };
    // Rate limit codes: WeCom 45009; DingTalk 130101 and 130102; Feishu 11232, 11233 and 9499.
    let is_rate = matches!(
        (vendor, code),
        (GroupWebhookVendor::Wecom, 45_009)
            | (GroupWebhookVendor::Dingtalk, 130_101 | 130_102)
            | (GroupWebhookVendor::Feishu, 11_232 | 9_499 | 11_233)
    );
    let clock_offset_s = answer.clock_offset_s.filter(|s| s.abs() >= CLOCK_OFFSET_MIN_S);
    let words = words.unwrap_or_default();
    match (code, is_rate, clock_offset_s) {
        (0, ..) => DeliveryOutcome::Accepted,
        (_, true, _) => DeliveryOutcome::RetryLater {
            after_ms: answer.retry_after_ms,
            reason: format!("too many messages ({code} {words})"),
        },
        (_, _, Some(off)) => {
            let why = format!(
                "refused ({code} {words}): this clock is {} min off the service's, which breaks signatures",
                off / 60
            );
            DeliveryOutcome::Rejected { reason: why }
        }
        _ => DeliveryOutcome::Rejected { reason: format!("refused ({code} {words})") },
    }
}

impl Channel for GroupWebhook {
    fn send<'a>(&'a self, notification: &'a Notification, now: UnixMillis) -> BoxFuture<'a, DeliveryOutcome> {
        Box::pin(async move {
            self.send_now(notification, now)
                .await
                .unwrap_or_else(|error| DeliveryOutcome::Rejected { reason: error.to_string() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_vendors_documents() {
        assert_eq!(dingtalk_sign("this is secret", 1_577_262_236_757), "hmPWwU+7lVdm3ZZz0r9tSfx0L4Q26jWOZr9+Gs6EZQM=");
        assert_eq!(feishu_sign("this is secret", 1_599_360_473), "/eYKrXQBzTjUZJ3s6NX16VxGbTwmK7AEs8/FnvC1CSw=");
        let settings = GroupWebhookSettings {
            id: "d".into(),
            url: String::new(),
            key: Some("T".into()),
            key_file: None,
            secret: None,
            secret_file: None,
            ca_file: None,
            per_min: None,
        };
        let robot = GroupWebhook::new(GroupWebhookVendor::Dingtalk, settings, LoadedFiles::default());
        let url = robot.url("T", Some("this is secret"), UnixMillis(1_577_262_236_757)).unwrap();
        assert_eq!(
            url.as_str(),
            "https://oapi.dingtalk.com/robot/send?access_token=T&timestamp=1577262236757&sign=hmPWwU%2B7lVdm3ZZz0r9tSfx0L4Q26jWOZr9%2BGs6EZQM%3D"
        );
    }

    #[test]
    fn the_truth_stands_in_the_body() {
        let said = |status: u16, body: &str| HttpAnswer { status, body: body.into(), ..HttpAnswer::default() };
        let of = |vendor, status, body: &str| outcome_of(vendor, &said(status, body));
        assert_eq!(of(GroupWebhookVendor::Wecom, 200, r#"{"errcode":0,"errmsg":"ok"}"#), DeliveryOutcome::Accepted);
        assert!(matches!(
            of(GroupWebhookVendor::Wecom, 200, r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#),
            DeliveryOutcome::Rejected { .. }
        ));
        assert!(matches!(
            of(GroupWebhookVendor::Wecom, 200, r#"{"errcode":45009}"#),
            DeliveryOutcome::RetryLater { after_ms: None, .. }
        ));
        assert!(matches!(
            of(GroupWebhookVendor::Dingtalk, 200, r#"{"errcode":130101}"#),
            DeliveryOutcome::RetryLater { .. }
        ));
        assert!(matches!(
            of(GroupWebhookVendor::Feishu, 200, r#"{"code":11232,"msg":"frequency limited"}"#),
            DeliveryOutcome::RetryLater { .. }
        ));
        assert_eq!(of(GroupWebhookVendor::Feishu, 200, r#"{"StatusCode":0,"code":0}"#), DeliveryOutcome::Accepted);
        assert!(matches!(
            of(GroupWebhookVendor::Feishu, 400, r#"{"code":19021,"msg":"sign match fail"}"#),
            DeliveryOutcome::Rejected { .. }
        ));
        assert!(matches!(of(GroupWebhookVendor::Feishu, 200, "<html>"), DeliveryOutcome::Unknown { .. }));
        assert!(matches!(of(GroupWebhookVendor::Feishu, 502, "<html>"), DeliveryOutcome::RetryLater { .. }));
        let late = HttpAnswer { clock_offset_s: Some(7_200), ..said(200, r#"{"code":19021}"#) };
        assert!(
            matches!(outcome_of(GroupWebhookVendor::Feishu, &late), DeliveryOutcome::Rejected { reason } if reason.contains("120 min off"))
        );
    }
}
