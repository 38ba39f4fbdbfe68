//! What all kinds of events have in common for a reader: who, where, by what it is found, how it went; and the rest.

use serde_json::{Map, Value};

use crate::event::Event;
use crate::person::{Person, Shown};

/// An event as columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The kind's word.
    pub(crate) kind: &'static str,
    pub(crate) who: Who,
    pub(crate) site: String,
    pub(crate) device: String,
    pub(crate) service: String,
    /// Id of the session, transfer, approval or mail.
    pub(crate) id: String,
    pub(crate) incident: String,
    /// How it went, or why.
    pub(crate) outcome: String,
    /// What else the event says: names and values, in order of the names.
    pub(crate) rest: Vec<(String, String)>,
}

/// Who it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Who {
    /// The event has no person, or none is known.
    #[default]
    Nobody,
    /// The key was destroyed.
    Erased,
    Known(Person),
}

impl Facts {
    pub(crate) fn of(event: &Event<Shown>) -> Self {
        let who = match event.person() {
            None => Who::Nobody,
            Some(Shown::Erased) => Who::Erased,
            Some(Shown::Known(person)) => Who::Known(person.clone()),
        };
        let mut fields = match serde_json::to_value(event) {
            Ok(Value::Object(fields)) => fields,
            _ => Map::new(), // an event is always an object
        };
        for personal in ["kind", "by", "to"] {
            fields.remove(personal);
        }
        let mut take = |names: &[&str]| {
            let name = names.iter().find(|name| fields.get(**name).is_some_and(Value::is_string));
            name.and_then(|name| fields.remove(*name)).map(|value| plain(&value)).unwrap_or_default()
        };
        let [site, device, service, incident] = ["site", "device", "service", "incident"].map(|name| take(&[name]));
        let id = take(&["session", "transfer", "approval", "mail"]);
        let outcome = take(&["outcome", "reason", "why", "health"]);
        let mut rest: Vec<_> = fields.iter().map(|(name, value)| (name.clone(), plain(value))).collect();
        rest.sort_unstable();
        Self { kind: event.label(), who, site, device, service, id, incident, outcome, rest }
    }

    /// The rest as one text.
    pub(crate) fn details(&self) -> String {
        self.rest.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// A value of the rest.
    pub(crate) fn detail(&self, name: &str) -> Option<&str> {
        self.rest.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

impl Who {
    pub(crate) fn user(&self) -> String {
        match self {
            Self::Nobody => String::new(),
            Self::Erased => "erased".to_owned(),
            Self::Known(person) => person.user.to_string(),
        }
    }

    pub(crate) fn groups(&self) -> String {
        match self {
            Self::Known(person) => person.groups.iter().collect::<Vec<_>>().join(", "),
            Self::Nobody | Self::Erased => String::new(),
        }
    }

    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Known(person) => person.reason.as_ref().map(ToString::to_string).unwrap_or_default(),
            Self::Nobody | Self::Erased => String::new(),
        }
    }

    pub(crate) fn from(&self) -> String {
        match self {
            Self::Known(person) => person.from.as_ref().map(ToString::to_string).unwrap_or_default(),
            Self::Nobody | Self::Erased => String::new(),
        }
    }
}

/// A value without quotes where it needs none. Field names in order, whatever order the parser keeps.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => format!("[{}]", values.iter().map(plain).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}: {}", plain(value))).collect();
            fields.sort_unstable();
            format!("{{{}}}", fields.join(", "))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}
