//! What people read: texts of alarms, messages and links, in both languages. Pure: from data to text.

pub mod alarm_text;
pub mod message;
pub mod notification;
pub mod token;
