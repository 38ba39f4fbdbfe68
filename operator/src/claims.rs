//! Which `TunnelCertificate`s want which Secret. There may be ten thousand of them in one namespace, and each asks at each
//! turn whether it is the first.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sallyport_plan::catalogue::ObjectKey;

/// Who wants which Secret, as the watch told last.
#[derive(Debug, Default)]
pub struct Claims(Mutex<Index>);

#[derive(Debug, Default)]
struct Index {
    secret_of: HashMap<ObjectKey, ObjectKey>,
    wanted_by: HashMap<ObjectKey, BTreeSet<ObjectKey>>,
}

impl Claims {
    /// A certificate wants this Secret of its namespace now, or none.
    pub fn note(&self, certificate: &ObjectKey, secret: Option<&str>) {
        let secret = secret.map(|name| ObjectKey::new(&certificate.namespace, name));
        let mut index = self.lock();
        let before = match &secret {
            Some(secret) => index.secret_of.insert(certificate.clone(), secret.clone()),
            None => index.secret_of.remove(certificate),
        };
        if before == secret {
            return;
        }
        if let Some(before) = before
            && let Some(others) = index.wanted_by.get_mut(&before)
        {
            others.remove(certificate);
            if others.is_empty() {
                index.wanted_by.remove(&before);
            }
        }
        if let Some(secret) = secret {
            index.wanted_by.entry(secret).or_default().insert(certificate.clone());
        }
    }

    /// Who wants a Secret.
    pub fn of(&self, secret: &ObjectKey) -> Vec<ObjectKey> {
        self.lock().wanted_by.get(secret).map(|all| all.iter().cloned().collect()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("lyon", name)
    }

    #[test]
    fn a_claim_moves_with_its_certificate_and_goes_with_it() {
        let claims = Claims::default();
        claims.note(&key("a"), Some("tls"));
        claims.note(&key("b"), Some("tls"));
        claims.note(&ObjectKey::new("bern", "c"), Some("tls"));
        assert_eq!(claims.of(&key("tls")), [key("a"), key("b")]);
        claims.note(&key("a"), Some("other"));
        assert_eq!((claims.of(&key("tls")), claims.of(&key("other"))), (vec![key("b")], vec![key("a")]));
        claims.note(&key("b"), None);
        claims.note(&key("a"), None);
        assert!(claims.0.lock().unwrap().wanted_by.keys().all(|secret| secret.namespace == "bern"));
    }
}
