//! Writing down a certificate that goes into a Secret, before it does.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sallyport_api::TunnelCertificate;
use sallyport_pki::authority::Leaf;
use sallyport_pki::inspect::Validity;
use sallyport_plan::catalogue::ObjectKey;
use sallyport_plan::issuance::{Issuance, Seen, record};
use sallyport_plan::revocation::is_revoked;
use sallyport_plan::status::Trouble;

use crate::context::Context;
use crate::live;
use crate::report::{self, Over};

/// Where a certificate is written down.
pub(super) struct Book {
    /// In the status of this object.
    pub(super) certificate: ObjectKey,
    /// Who issues it.
    pub(super) authority: ObjectKey,
    /// Serial numbers that its endpoint was seen to use.
    pub(super) in_use: BTreeSet<String>,
}

/// How often somebody else may write the object in between.
const ATTEMPTS: u32 = 5;

/// Writes it down.
pub(super) async fn write_down(
    ctx: &Context,
    book: &Book,
    leaf: &Leaf,
    generation: u32,
    now: Timestamp,
) -> Result<(), Trouble> {
    let issuance = Issuance {
        serial: leaf.serial.clone(),
        validity: Validity { not_before: leaf.not_before, not_after: leaf.not_after },
        generation,
        authority: book.authority.clone(),
        used_token: None,
    };
    let signer = ctx.authorities.get(&book.authority);
    let listed = |serial: &str| signer.as_ref().is_some_and(|signer| signer.revokes(serial));
    let seen = Seen { in_use: &book.in_use, listed: &listed };
    for _ in 0..ATTEMPTS {
        let gone = || Trouble::Issue("the object is gone".to_owned());
        let object = ctx.world.certificates.get(&book.certificate).ok_or_else(gone)?;
        if is_revoked(&object) {
            return Err(Trouble::Issue("it was revoked in the meantime".to_owned()));
        }
        if !ctx.fence.holds() {
            return Err(Trouble::Issue("this operator does not lead any more".to_owned()));
        }
        let status = record(object.status.as_ref(), &issuance, &seen, now);
        let status = status.map_err(|full| Trouble::Issue(full.to_string()))?;
        match report::write(ctx, &*object, &status, Over::ThisVersion).await {
            Ok(_) => return Ok(()),
            Err(error) if error.is_conflict() => {
                live::read::<TunnelCertificate>(ctx, &book.certificate).await?.ok_or_else(gone)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Trouble::Issue("somebody else goes on writing the object".to_owned()))
}
