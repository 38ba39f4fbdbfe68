//! Which revocation lists a door goes by: of each trusted CA the newest one.

use std::collections::BTreeMap;

use rustls_pki_types::CertificateRevocationListDer;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::revocation::RevocationList;

use super::TlsError;

#[derive(Debug)]
pub(super) enum Revocations {
    /// A certificate of a CA without a list, or with one that has ended, is refused.
    Checked(Vec<CertificateRevocationListDer<'static>>),
    /// Nobody's certificate is looked up.
    NotAsked,
}

impl Revocations {
    /// All or nothing: a list that cannot be read, or that no CA of the bundle signed, is an error, because leaving it
    /// out might leave out a revocation.
    pub(super) fn checked(trust: &TrustBundle, lists: &[Vec<u8>]) -> Result<Self, TlsError> {
        let mut newest: BTreeMap<String, RevocationList> = BTreeMap::new();
        for der in lists {
            let list = RevocationList::parse(der)?;
            let issuer = list.verify(trust)?;
            if newest.get(&issuer).is_none_or(|known| known.number() < list.number()) {
                newest.insert(issuer, list);
            }
        }
        let der = |list: RevocationList| CertificateRevocationListDer::from(list.der().to_vec());
        Ok(Self::Checked(newest.into_values().map(der).collect()))
    }

    pub(super) fn lists(&self) -> Vec<CertificateRevocationListDer<'static>> {
        match self {
            Self::Checked(lists) => lists.clone(),
            Self::NotAsked => Vec::new(),
        }
    }

    /// Asked to check, with nothing to check against.
    pub(super) fn know_nothing(&self) -> bool {
        matches!(self, Self::Checked(lists) if lists.is_empty())
    }
}
