//! What an authority's objects say, without a cluster, a clock or a terminal.
//!
//! ```text
//!  Facts (the objects, as read) ─▶ report::of ─▶ Report (JSON, YAML) ─▶ text (tables)
//!  each new object ─▶ follow::Follow ─▶ a line of progress | done | overtaken
//! ```

pub(crate) mod follow;
pub(crate) mod holding;
pub(crate) mod report;
pub(crate) mod text;

use sallyport_api::{CertificateAuthority, CustomerSite, DmzRegion, TunnelCertificate, TunnelEndpoint};

/// The objects that one authority concerns, as they were read; those of other authorities may be among them.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub authority: CertificateAuthority,
    /// Of the authority's namespace.
    pub regions: Vec<DmzRegion>,
    /// Of every namespace whose sites the regions admit.
    pub sites: Vec<CustomerSite>,
    pub endpoints: Vec<TunnelEndpoint>,
    pub certificates: Vec<TunnelCertificate>,
}

#[cfg(test)]
mod tests;
