//! A throw-away CA for engineers, as a company's own PKI or smart cards would be: unrelated to the private CA, with its own
//! ideas of a subject.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::inspect;
use zeroize::Zeroizing;

use crate::ca::Credential;

/// Issues engineers' certificates.
pub struct EngineersCa {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Default for EngineersCa {
    fn default() -> Self {
        Self::new()
    }
}

impl EngineersCa {
    /// A new CA with a key of its own, valid from 2024 for a century.
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = valid(2124);
        params.distinguished_name.push(DnType::CommonName, "Engineers test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).expect("a CA").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Trust in this CA alone.
    pub fn bundle(&self) -> TrustBundle {
        TrustBundle::from_pem(&self.pem).expect("a CA")
    }

    /// An engineer by e-mail address, with groups.
    pub fn engineer(&self, mail: &str, groups: &[&str]) -> Credential {
        self.issue(engineer(mail, groups, 2124))
    }

    /// The same, valid in January 2024 only.
    pub fn expired_engineer(&self, mail: &str, groups: &[&str]) -> Credential {
        let mut params = engineer(mail, groups, 2124);
        params.not_after = date_time_ymd(2024, 1, 31);
        self.issue(params)
    }

    /// Anything, for hostile certificates.
    pub fn issue(&self, params: CertificateParams) -> Credential {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Credential {
            der: certificate.der().to_vec(),
            chain_pem: certificate.pem(),
            key_pem: Zeroizing::new(key.serialize_pem()),
            serial: inspect::serial_hex(certificate.der()).expect("a certificate"),
        }
    }
}

/// What an engineer's certificate says, to be changed by tests that need another. At most two groups: rcgen keeps one
/// value for each attribute type, and the same object identifier can be spelt as a type in two ways.
pub fn engineer(mail: &str, groups: &[&str], until: i32) -> CertificateParams {
    let units = [DnType::OrganizationalUnitName, DnType::CustomDnType(vec![2, 5, 4, 11])];
    assert!(groups.len() <= units.len(), "at most {} groups", units.len());
    let mut params = valid(until);
    params.distinguished_name.push(DnType::CommonName, "An Engineer");
    for (unit, group) in units.into_iter().zip(groups) {
        params.distinguished_name.push(unit, *group);
    }
    params.subject_alt_names = vec![SanType::Rfc822Name(mail.try_into().expect("an address"))];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn valid(until: i32) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    params.distinguished_name = DistinguishedName::new();
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engineer_is_read_back() {
        let ca = EngineersCa::new();
        let anna = inspect::engineer(&ca.engineer("Anna@vendor.example", &["ct", "mr"]).der).unwrap();
        assert_eq!(anna.user.to_string(), "anna@vendor.example");
        assert_eq!(anna.groups.into_iter().collect::<Vec<_>>(), ["ct", "mr"]);
    }
}
