//! Access levels: how far the customer lets service go without being asked (R11, R14-R19). The strictest of all
//! levels that apply wins (requirements, decision 1).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the customer allows without being asked each time. Ordered from strictest to widest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AccessLevel {
    /// Ask every time (R14). Never "unreachable for ever".
    #[default]
    None,
    /// Services that do not interfere with examinations, without time limit (R16).
    PermanentLimited,
    /// The whole system; examinations may not be possible meanwhile (R17).
    Full,
}

impl AccessLevel {
    /// The level that holds when several apply: the strictest. No level at all means [`AccessLevel::None`].
    pub fn effective(levels: impl IntoIterator<Item = Self>) -> Self {
        levels.into_iter().min().unwrap_or_default()
    }

    /// The spelling used in YAML, logs and the console.
    pub fn label(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::PermanentLimited => "permanentLimited",
            Self::Full => "full",
        }
    }
}

/// What a device is for, which decides who must approve (requirements, decision 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DeviceClass {
    /// A laboratory instrument or its site gateway. The local user always approves (R45, R48).
    InVitro,
    /// A scanner or another device at the patient. The access level decides.
    InVivo,
    /// A server with nobody at a console, such as a PACS. The access level stands for the customer's standing grant
    /// (R20).
    Server,
}

impl DeviceClass {
    /// The spelling used in YAML, logs and the console.
    pub fn label(self) -> &'static str {
        match self {
            Self::InVitro => "inVitro",
            Self::InVivo => "inVivo",
            Self::Server => "server",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_level_wins_and_none_is_the_default() {
        assert_eq!(
            AccessLevel::effective([AccessLevel::Full, AccessLevel::PermanentLimited]),
            AccessLevel::PermanentLimited
        );
        assert_eq!(AccessLevel::effective([AccessLevel::Full, AccessLevel::None]), AccessLevel::None);
        assert_eq!(AccessLevel::effective([]), AccessLevel::None);
    }
}
