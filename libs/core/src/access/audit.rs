//! Whether an engineer may read the region's audit records: a decision of its own, because who reaches devices need not
//! see who else did.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::RegionConfig;
use crate::engineer::Engineer;

/// Why not. The variant is the metric label and the machine-readable code; the text is for the engineer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", tag = "code")]
pub enum AuditDenied {
    /// The engineer's certificate ended.
    #[error("the certificate of {user} ended at {not_after}; renew it and ask again")]
    CertificateExpired {
        /// Whose.
        user: String,
        /// When.
        not_after: Timestamp,
    },
    /// The region names neither the engineer nor a group of theirs.
    #[error(
        "spec.audit.auditors of this region names neither {user} nor a group of theirs ({groups}); ask the platform team"
    )]
    NotAnAuditor {
        /// Who asked.
        user: String,
        /// Their groups.
        groups: String,
    },
}

impl AuditDenied {
    /// A closed set of labels for metrics, logs and exit codes.
    pub fn label(&self) -> &'static str {
        match self {
            Self::CertificateExpired { .. } => "certificateExpired",
            Self::NotAnAuditor { .. } => "notAnAuditor",
        }
    }
}

/// Decides. A region without auditors lets nobody read.
pub fn may_audit(config: &RegionConfig, engineer: &Engineer, now: Timestamp) -> Result<(), AuditDenied> {
    certificate_is_valid(engineer, now)?;
    region_names(config, engineer)
}

fn certificate_is_valid(engineer: &Engineer, now: Timestamp) -> Result<(), AuditDenied> {
    if now < engineer.not_after {
        return Ok(());
    }
    Err(AuditDenied::CertificateExpired { user: engineer.user.to_string(), not_after: engineer.not_after })
}

fn region_names(config: &RegionConfig, engineer: &Engineer) -> Result<(), AuditDenied> {
    let auditors = &config.settings.auditors;
    if auditors.users.contains(&engineer.user) || !auditors.groups.is_disjoint(&engineer.groups) {
        return Ok(());
    }
    Err(AuditDenied::NotAnAuditor { user: engineer.user.to_string(), groups: super::groups(engineer) })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::Auditors;

    fn now() -> Timestamp {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn engineer(groups: &[&str]) -> Engineer {
        Engineer {
            user: "ada@vendor.example".parse().unwrap(),
            groups: groups.iter().map(|&g| g.to_owned()).collect(),
            not_after: "2026-11-24T20:00:00Z".parse().unwrap(),
        }
    }

    fn config(users: &[&str], groups: &[&str]) -> RegionConfig {
        let mut config = RegionConfig::default();
        config.settings.auditors = Auditors {
            users: users.iter().map(|u| u.parse().unwrap()).collect(),
            groups: groups.iter().map(|&g| g.to_owned()).collect(),
        };
        config
    }

    #[test]
    fn a_user_or_a_group_that_is_named_may_read() {
        assert_eq!(may_audit(&config(&["Ada@vendor.example"], &[]), &engineer(&[]), now()), Ok(()));
        assert_eq!(may_audit(&config(&[], &["Audit"]), &engineer(&["ct-service", "Audit"]), now()), Ok(()));
    }

    #[test]
    fn nobody_else_may_and_is_told_what_is_missing() {
        for config in [config(&[], &[]), config(&["bob@vendor.example"], &["audit"])] {
            let denied = may_audit(&config, &engineer(&["Audit"]), now()).unwrap_err();
            assert_eq!(denied.label(), "notAnAuditor");
            assert_eq!(
                denied.to_string(),
                "spec.audit.auditors of this region names neither ada@vendor.example nor a group of theirs (Audit); \
                 ask the platform team"
            );
        }
        let stranger = Engineer { groups: BTreeSet::new(), ..engineer(&[]) };
        assert!(may_audit(&config(&[], &["Audit"]), &stranger, now()).unwrap_err().to_string().contains("no groups"));
    }

    #[test]
    fn an_ended_certificate_reads_nothing_whoever_it_names() {
        let late = "2026-11-24T20:00:00Z".parse().unwrap();
        let denied = may_audit(&config(&["ada@vendor.example"], &[]), &engineer(&[]), late).unwrap_err();
        assert_eq!(denied.label(), "certificateExpired");
    }
}
