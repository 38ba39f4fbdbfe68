//! All generations of one CA that are stored, read from its Secret. The only place where its keys are in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use sallyport_pki::authority::Authority;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::generation::Generation;
use sallyport_pki::rotation::Made;
use sallyport_plan::authority::keys::{Stored, StoredKey};
use sallyport_plan::authority::restored;

use super::{Custody, CustodyError, Pin};

/// The generations of one CA.
#[derive(Debug, Default)]
pub struct Ring {
    /// Resource version of the Secret; nothing when there is none.
    pub version: Option<String>,
    /// By number.
    pub generations: BTreeMap<u32, Kept>,
    /// Why keys could not be looked for, by number: then nobody knows whether they are there.
    pub unreachable: BTreeMap<u32, String>,
}

/// One generation.
#[derive(Debug)]
pub struct Kept {
    /// What its certificate says; nothing when it cannot be read.
    pub generation: Option<Generation>,
    /// Its certificate, DER; empty when it cannot be read.
    pub certificate: Vec<u8>,
    /// With its key, if that serves.
    pub authority: Option<Arc<Authority>>,
    /// Whether the Secret says anything of a key.
    pub has_key: bool,
    /// What the key was made for.
    pub made: Option<Made>,
}

impl Ring {
    /// Reads what is stored. `pin` finds the PIN of a token.
    pub fn load(
        version: Option<String>,
        stored: &BTreeMap<u32, Stored>,
        custody: &Custody,
        pin: impl Fn(&StoredKey) -> Option<Pin>,
    ) -> Self {
        let mut ring = Self { version, ..Self::default() };
        for (number, stored) in stored {
            match kept(*number, stored, custody, &pin) {
                Ok(kept) => drop(ring.generations.insert(*number, kept)),
                Err(error) => {
                    let why = error.to_string();
                    tracing::warn!(generation = number, reason = why, "a key cannot be reached");
                    ring.generations.insert(*number, without_key(*number, stored));
                    ring.unreachable.insert(*number, why);
                }
            }
        }
        ring
    }

    /// The facts that the rotation machine asks for: generations with certificate and usable key.
    pub fn keys(&self) -> BTreeMap<u32, Generation> {
        let usable = self.generations.iter().filter_map(|(number, kept)| Some((*number, kept.authority.as_ref()?)));
        usable.map(|(number, authority)| (number, authority.generation())).collect()
    }

    /// What the keys were made for.
    pub fn made(&self) -> BTreeMap<u32, Made> {
        self.generations.iter().filter_map(|(number, kept)| Some((*number, kept.made.clone()?))).collect()
    }

    /// A generation by its certificate's fingerprint.
    pub fn by_fingerprint(&self, fingerprint: &str) -> Option<&Kept> {
        self.generations.values().find(|kept| kept.generation.as_ref().is_some_and(|g| g.fingerprint == fingerprint))
    }

    /// Fingerprints of all certificates that are stored.
    pub fn fingerprints(&self) -> Vec<&str> {
        self.generations.values().filter_map(|kept| Some(kept.generation.as_ref()?.fingerprint.as_str())).collect()
    }
}

/// A damaged key or certificate is as good as none; one that cannot be reached is an error.
fn kept(
    number: u32,
    stored: &Stored,
    custody: &Custody,
    pin: impl Fn(&StoredKey) -> Option<Pin>,
) -> Result<Kept, CustodyError> {
    let mut kept = without_key(number, stored);
    let Some(key) = &stored.key else { return Ok(kept) };
    let opened = match custody.open(key, pin(key).as_ref()) {
        Ok(opened) => opened,
        Err(error) if error.is_gone() => {
            tracing::error!(generation = number, reason = %error, "the key of a generation is not usable");
            return Ok(kept);
        }
        Err(error) => return Err(error),
    };
    match Authority::load(number, &stored.certificate, opened) {
        Ok(authority) => kept.authority = Some(Arc::new(authority)),
        Err(error) => tracing::error!(generation = number, reason = %error, "a stored generation is not usable"),
    }
    Ok(kept)
}

fn without_key(number: u32, stored: &Stored) -> Kept {
    let certificate = TrustBundle::from_pem(&stored.certificate).ok().filter(|bundle| bundle.len() == 1);
    let certificate = certificate.and_then(|bundle| Some(bundle.certificates().next()?.to_vec()));
    Kept {
        generation: restored::generation(number, stored),
        certificate: certificate.unwrap_or_default(),
        authority: None,
        has_key: stored.key.is_some(),
        made: stored.made.clone(),
    }
}
