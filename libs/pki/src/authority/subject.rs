//! Whom a CA's certificates name.

use rcgen::{DistinguishedName, DnType};
use x509_parser::certificate::X509Certificate;

use super::AuthorityError;

/// Whom the CA's certificates name. The generation is added to the common name, so that two generations never share a
/// subject and a chain has one possible issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthoritySubject {
    /// 1 to 48 printable characters (RFC 5280 allows 64 with the generation).
    pub common_name: String,
    /// 1 to 64 printable characters.
    pub organization: Option<String>,
}

impl AuthoritySubject {
    pub(super) fn of_generation(&self, generation: u32) -> Result<DistinguishedName, AuthorityError> {
        let fine = |text: &str, most: usize| {
            (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text == text.trim()
        };
        let organization = self.organization.as_deref();
        if !fine(&self.common_name, 48) || !organization.is_none_or(|o| fine(o, 64)) {
            return Err(AuthorityError::Subject);
        }
        let mut name = DistinguishedName::new();
        if let Some(organization) = organization {
            name.push(DnType::OrganizationName, organization);
        }
        name.push(DnType::CommonName, format!("{} G{generation}", self.common_name));
        Ok(name)
    }
}

/// A leaf's issuer must be the CA's subject, byte for byte, and the library that writes it holds one value for each
/// attribute type: a subject with more would come out shorter, and every leaf would chain to nothing.
pub(super) fn can_be_repeated(certificate: &X509Certificate<'_>) -> Result<(), AuthorityError> {
    let mut types: Vec<_> = certificate.subject().iter_attributes().map(|attribute| attribute.attr_type()).collect();
    let (all, relative_names) = (types.len(), certificate.subject().iter_rdn().count());
    types.sort_by_key(|oid| oid.as_bytes());
    types.dedup();
    if all == types.len() && all == relative_names { Ok(()) } else { Err(AuthorityError::Subject) }
}
