//! Leave to pass, as a value with one birthplace.

use sallyport_core::access::Authorised;

use crate::audit::Receipt;

/// Leave to pass. It has seen who asks, the policy, the effective access level, the site's state (all in
/// [`Authorised`], which only the access decision makes) and the durable start record (in [`Receipt`], which only the
/// audit file makes).
#[derive(Debug)]
pub struct Permit {
    session: String,
    authorised: Authorised,
    record: Receipt,
}

impl Permit {
    /// The one constructor.
    pub fn grant(session: String, authorised: Authorised, record: Receipt) -> Self {
        Self { session, authorised, record }
    }

    /// The session it is for.
    pub fn session(&self) -> &str {
        &self.session
    }

    /// What was decided. What authorises is what routes.
    pub fn authorised(&self) -> &Authorised {
        &self.authorised
    }

    /// Number of the start record in this gateway's audit file.
    pub fn record(&self) -> u64 {
        self.record.sequence()
    }
}
