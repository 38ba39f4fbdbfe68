//! What a status says. Facts in, status out; equal facts give an equal status, so nothing is written twice.

mod audit;
mod authority;
mod certificate;
mod conditions;
mod device;
mod endpoint;
mod policy;
mod region;
mod site;
mod trouble;

pub use audit::{BEHIND, VOLUME_ALARM};
pub use authority::{AuthorityFacts, authority};
pub use certificate::{CertificateFacts, Delivery, Issued, Revocation, certificate, enrolment_changes_at};
pub use conditions::{Conditioned, Standing, Verdict, is_anothers, needs_write, ready_changed};
pub use device::{DeviceFacts, device};
pub use endpoint::{EndpointFacts, endpoint};
pub use policy::policy;
pub use region::{GatewayFacts, LAG, ListsFacts, RegionFacts, region};
pub use site::{SiteFacts, site};
pub use trouble::Trouble;
