//! The kinds of channels: one more is its own file, whose settings are a [`ChannelKind`], and one line in the list at the end.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::channel::command::CommandSettings;
use crate::channel::email::EmailSettings;
use crate::channel::group_webhook::GroupWebhookSettings;
use crate::channel::ntfy::NtfySettings;
use crate::channel::sms::SmsSettings;
use crate::channel::webhook::WebhookSettings;
use crate::channel::{Channel, ChannelKind};
use crate::http::files::{LoadedFiles, NamedFile};
use crate::model::notification::RateLimit;
use crate::model::settings::{SettingsProblem, SettingsReader};

macro_rules! channel_kinds {
    ($($(#[doc = $doc:literal])* $name:ident: $variant:ident($settings:ty),)*) => {
        /// A channel, as configured.
        #[derive(Clone, Debug, PartialEq)]
        #[allow(missing_docs, reason = "the list has a line each")]
        pub enum ChannelSettings {
            $($variant($settings),)*
        }

        /// How people are reached.
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct Channels {
            $($(#[doc = $doc])* pub $name: Vec<$settings>,)*
        }

        /// Names of all kinds, as in `[[channel.NAME]]`.
        pub const KINDS: &[&str] = &[$(stringify!($name),)*];

        impl ChannelSettings {
            /// Reads an entry of a kind; none: there is no such kind, or the entry has errors.
            pub fn read(kind: &str, reader: &mut impl SettingsReader) -> Option<Self> {
                match kind {
                    $(stringify!($name) => reader.read::<$settings>().map(Self::$variant),)*
                    _ => None,
                }
            }

            fn kind(&self) -> (&'static str, &dyn ChannelKind) {
                match self {
                    $(Self::$variant(settings) => (stringify!($name), settings),)*
                }
            }
        }
    };
}

impl ChannelSettings {
    /// The channel's id, unique among channels.
    pub fn id(&self) -> &str {
        self.kind().1.id()
    }

    /// `per_min` if the site says so, else what its service allows.
    pub fn rate_limit(&self) -> RateLimit {
        let (kind, settings) = self.kind();
        let service = settings.service_limit(kind);
        settings.per_min().map_or(service, |n| {
            let burst = (f64::from(n) * 0.4).max(1.0);
            RateLimit { per_min: (f64::from(n) - burst).max(f64::from(n) * 0.5), burst, ..service }
        })
    }

    /// Whether a contact on this channel must name an address (`to`).
    pub fn requires_address(&self) -> bool {
        self.kind().1.requires_address()
    }

    /// Why an address does not fit, with an example; an empty one is judged by [`ChannelSettings::requires_address`].
    pub fn address_problem(&self, to: &str) -> Option<(String, &'static str)> {
        if to.is_empty() { None } else { self.kind().1.address_problem(to) }
    }

    /// Whether a reply names its page by two digits.
    pub fn has_coded_replies(&self) -> bool {
        self.kind().1.has_coded_replies()
    }

    /// Files that the settings name.
    pub fn files(&self) -> Vec<NamedFile> {
        self.kind().1.files()
    }

    /// What is wrong with the settings.
    pub fn problems(&self) -> Vec<SettingsProblem> {
        self.kind().1.problems()
    }

    /// The channel, with what was read of [`ChannelSettings::files`]; nothing is opened before it is used.
    pub fn open(&self, files: &LoadedFiles) -> Box<dyn Channel> {
        let (kind, settings) = self.kind();
        settings.open(kind, files)
    }
}

channel_kinds! {
    /// A push to a phone, with a button to acknowledge.
    ntfy: Ntfy(NtfySettings),
    /// A robot of a WeCom group.
    wecom: Wecom(GroupWebhookSettings),
    /// A robot of a DingTalk group.
    dingtalk: Dingtalk(GroupWebhookSettings),
    /// A robot of a Feishu group.
    feishu: Feishu(GroupWebhookSettings),
    /// E-mail through an SMTP server.
    email: Email(EmailSettings),
    /// A program elsewhere, which gets each message as JSON by HTTP POST.
    webhook: Webhook(WebhookSettings),
    /// Short messages through a modem.
    sms: Sms(SmsSettings),
    /// A program on this box.
    command: Command(CommandSettings),
}
