//! Who does something: which person or program, by which way in, with which proof of identity.

use std::fmt;

/// Whoever a command comes from. Free text from outside (`id`) is one line of at most 40 characters
/// ([`one_line`](crate::model::text::one_line)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// A person's id, a program's name, or `gateway`; empty where the way in does not say (the page names its recipient).
    pub id: String,
    /// A person, a program or the gateway itself.
    pub kind: ActorKind,
    /// What they may do.
    pub role: Role,
    /// The interface that the command came through.
    pub via: Via,
    /// What shows that they are who they say.
    pub proof: Proof,
}

/// What kind of actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// A human being, not a program that acts for one.
    Person,
    /// Software with a secret of its own.
    Program,
    /// This process, without anybody's request.
    Gateway,
}

/// What an actor may do; `engine::authorize` holds the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// May read, and change nothing.
    Viewer,
    /// Reads, exports, changes nothing.
    Auditor,
    /// May acknowledge and report arrival; if identified, also hand over, reset, shelve and unshelve.
    Technician,
    /// Handles alarms, rotas, trials and the gateway itself.
    Engineer,
    /// May do the same as an engineer.
    Manager,
}

/// The interface that a command came through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// The unix socket: the CLI on the box.
    Socket,
    /// A broker, by its sink's name.
    Mqtt(String),
    /// The signed link of a page.
    Link,
    /// The HTTP interface for programs.
    Api,
    /// A button under a page, by the channel's id.
    Button(String),
    /// A text message, by the channel's id.
    Message(String),
    /// None: the process acts by itself.
    Gateway,
}

/// What shows that an actor is who they say, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Proof {
    /// Nothing: the name is what they wrote.
    Claimed,
    /// The page went to this contact.
    PagedContact,
    /// The signed token of a page.
    PageToken,
    /// A secret of the configuration.
    Secret,
    /// The user id that the kernel reports for the connection.
    PeerUid(u32),
    /// A session of a person who has logged in.
    Session,
    /// None is needed: the process acts by itself.
    Own,
}

impl Actor {
    /// The actor of everything that the process does without anybody's request.
    pub fn gateway() -> Self {
        Self {
            id: "gateway".to_string(),
            kind: ActorKind::Gateway,
            role: Role::Engineer,
            via: Via::Gateway,
            proof: Proof::Own,
        }
    }

    /// Somebody at the box, as the kernel knows them.
    pub fn local(id: impl Into<String>, uid: u32, role: Role) -> Self {
        Self { id: id.into(), kind: ActorKind::Person, role, via: Via::Socket, proof: Proof::PeerUid(uid) }
    }

    /// Somebody who answers a page.
    pub fn paged(id: impl Into<String>, via: Via, proof: Proof) -> Self {
        Self { id: id.into(), kind: ActorKind::Person, role: Role::Technician, via, proof }
    }

    /// The same actor under the name by which the log knows them.
    #[must_use]
    pub fn named(&self, id: impl Into<String>) -> Self {
        Self { id: id.into(), ..self.clone() }
    }
}

/// As the event log has it: `socket`, `mqtt NAME`, `link`, `api`, `CHANNEL: button`, `CHANNEL: message`, `gateway`.
impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Via::Socket => f.write_str("socket"),
            Via::Mqtt(sink) => write!(f, "mqtt {sink}"),
            Via::Link => f.write_str("link"),
            Via::Api => f.write_str("api"),
            Via::Button(channel) => write!(f, "{channel}: button"),
            Via::Message(channel) => write!(f, "{channel}: message"),
            Via::Gateway => f.write_str("gateway"),
        }
    }
}
