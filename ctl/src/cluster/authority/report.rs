//! How far an authority's rotation is, site by site, and who would be cut if a generation were dropped now.

use jiff::Timestamp;
use sallyport_api::certificate_authority::{
    CaGeneration, CertificateAuthorityStatus, GenerationState, GivenUp, HistoryEntry, RevocationListStatus,
    RotationStatus,
};
use sallyport_api::common::condition::{CONNECTED, READY};
use sallyport_api::{CustomerSite, DmzRegion, TunnelCertificate, TunnelEndpoint};
use serde::Serialize;

use kube::ResourceExt as _;

use super::Facts;
use super::holding::{self, Holding};

/// Everything about one authority.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub namespace: String,
    pub name: String,
    pub ready: Option<Ready>,
    pub issuing: Option<u32>,
    /// The generation that progress is measured against: the one that takes over, or else the one that signs.
    pub target: Option<u32>,
    pub trust_bundle: Option<String>,
    pub trust_digest: Option<String>,
    pub trust_sequence: u64,
    pub generations: Vec<CaGeneration>,
    pub rotation: Option<RotationStatus>,
    pub given_up: Vec<GivenUp>,
    pub history: Vec<HistoryEntry>,
    pub revocation_lists: Option<RevocationListStatus>,
    pub regions: Vec<Region>,
    pub sites: Vec<Site>,
    pub if_dropped: Vec<Dropped>,
}

/// The condition of that name.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ready {
    pub status: String,
    pub reason: String,
    pub message: String,
}

/// A region that refers to the authority.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Region {
    pub name: String,
    pub gateways: Vec<Gateway>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Gateway {
    /// As blockers name it: `gateway NAMESPACE/POD`.
    pub name: String,
    pub attached: bool,
    /// Whether it enforces the current trust bundle.
    pub acknowledged: bool,
    pub certificates: Vec<GatewayCertificate>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GatewayCertificate {
    pub purpose: String,
    pub generation: Option<u32>,
    pub not_after: String,
}

/// A site of such a region. Every endpoint is in exactly one of the four counts.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Site {
    pub namespace: String,
    pub name: String,
    pub customer: String,
    pub region: String,
    pub suspended: bool,
    /// Endpoints with a certificate of the target generation.
    pub newest: usize,
    /// Of a generation before it.
    pub older: usize,
    /// Of a generation that the authority does not know.
    pub unknown: usize,
    /// With none that is valid.
    pub without: usize,
    /// Endpoints whose agent has acknowledged the current trust bundle.
    pub acknowledged: usize,
    pub endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Endpoint {
    /// `NAMESPACE/NAME`.
    pub name: String,
    pub connected: bool,
    /// RFC 3339; absent while it is connected, and when it never was.
    pub offline_since: Option<String>,
    pub certificate: Option<Holding>,
    pub acknowledged: bool,
}

/// What would happen if a generation left the trust bundle now.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Dropped {
    pub generation: u32,
    pub cut: Vec<Cut>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Cut {
    /// As in a blocker.
    pub name: String,
    pub why: Vec<String>,
}

/// The report.
pub(crate) fn of(facts: &Facts, now: Timestamp) -> Report {
    let status = facts.authority.status.clone().unwrap_or_default();
    let target = status.rotation.as_ref().map(|rotation| rotation.to).or(status.issuing);
    let digest = status.trust_digest.clone().filter(|digest| !digest.is_empty());
    let namespace = facts.authority.namespace().unwrap_or_default();
    let regions: Vec<&DmzRegion> = facts.regions.iter().filter(|region| is_ours(region, facts)).collect();
    let sites = facts.sites.iter().filter(|site| regions.iter().any(|region| attaches(site, region)));
    let mut sites: Vec<Site> = sites.map(|site| self::site(site, facts, target, digest.as_deref(), now)).collect();
    sites.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    let regions: Vec<Region> =
        regions.into_iter().map(|region| self::region(region, facts, digest.as_deref())).collect();
    let if_dropped = dropped(&status, &regions, &sites);
    Report {
        ready: ready(&status),
        name: facts.authority.name_any(),
        namespace,
        issuing: status.issuing,
        target,
        trust_bundle: status.trust_bundle,
        trust_digest: status.trust_digest,
        trust_sequence: status.trust_sequence,
        generations: status.generations,
        rotation: status.rotation,
        given_up: status.given_up,
        history: status.history,
        revocation_lists: status.revocation_lists,
        regions,
        sites,
        if_dropped,
    }
}

fn is_ours(region: &DmzRegion, facts: &Facts) -> bool {
    region.namespace() == facts.authority.namespace()
        && region.spec.certificate_authority_ref.name == facts.authority.name_any()
}

/// Whether a site names a region that admits its namespace.
pub(crate) fn attaches(site: &CustomerSite, region: &DmzRegion) -> bool {
    let (own, of_region) = (site.namespace().unwrap_or_default(), region.namespace().unwrap_or_default());
    let named = site.spec.region_ref.namespace.as_ref().unwrap_or(&own);
    let admitted = region.spec.allowed_sites.iter().any(|allowed| allowed.namespaces.contains(&own));
    site.spec.region_ref.name == region.name_any() && *named == of_region && (own == of_region || admitted)
}

fn ready(status: &CertificateAuthorityStatus) -> Option<Ready> {
    let condition = status.conditions.iter().find(|condition| condition.type_ == READY)?;
    Some(Ready {
        status: condition.status.clone(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    })
}

fn region(region: &DmzRegion, facts: &Facts, digest: Option<&str>) -> Region {
    let namespace = region.namespace().unwrap_or_default();
    let gateways = region.status.iter().flat_map(|status| &status.gateways);
    let gateways = gateways.map(|gateway| Gateway {
        name: format!("gateway {namespace}/{}", gateway.name),
        attached: gateway.attached,
        acknowledged: digest == Some(gateway.trust_digest.as_str()),
        certificates: gateway
            .certificates
            .iter()
            .map(|certificate| GatewayCertificate {
                purpose: certificate.purpose.clone(),
                generation: holding::number(&facts.authority, &certificate.issuer),
                not_after: certificate.not_after.clone(),
            })
            .collect(),
    });
    Region { name: region.name_any(), gateways: gateways.collect() }
}

fn site(site: &CustomerSite, facts: &Facts, target: Option<u32>, digest: Option<&str>, now: Timestamp) -> Site {
    let (namespace, name) = (site.namespace().unwrap_or_default(), site.name_any());
    let endpoints = facts.endpoints.iter().filter(|endpoint| {
        endpoint.namespace().as_deref() == Some(namespace.as_str()) && endpoint.spec.site_ref.name == name
    });
    let mut endpoints: Vec<Endpoint> = endpoints.map(|endpoint| self::endpoint(endpoint, facts, digest, now)).collect();
    endpoints.sort_by(|a, b| a.name.cmp(&b.name));
    let count = |holds: &dyn Fn(Option<&Holding>) -> bool| {
        endpoints.iter().filter(|endpoint| holds(endpoint.certificate.as_ref())).count()
    };
    Site {
        customer: site.spec.customer.name.clone(),
        region: site.spec.region_ref.name.clone(),
        suspended: site.spec.suspended,
        newest: count(&|held| held.is_some_and(|held| held.generation.is_some() && held.generation >= target)),
        older: count(&|held| held.is_some_and(|held| held.generation.is_some() && held.generation < target)),
        unknown: count(&|held| held.is_some_and(|held| held.generation.is_none())),
        without: count(&|held| held.is_none()),
        acknowledged: endpoints.iter().filter(|endpoint| endpoint.acknowledged).count(),
        namespace,
        name,
        endpoints,
    }
}

fn endpoint(endpoint: &TunnelEndpoint, facts: &Facts, digest: Option<&str>, now: Timestamp) -> Endpoint {
    let (namespace, name) = (endpoint.namespace().unwrap_or_default(), endpoint.name_any());
    let of_endpoint = |certificate: &&TunnelCertificate| {
        certificate.namespace().as_deref() == Some(namespace.as_str()) && certificate.spec.endpoint_ref.name == name
    };
    let certificates: Vec<&TunnelCertificate> = facts.certificates.iter().filter(of_endpoint).collect();
    let status = endpoint.status.clone().unwrap_or_default();
    let connection = status.conditions.iter().find(|condition| condition.type_ == CONNECTED);
    let connected = connection.is_some_and(|condition| condition.status == "True");
    // Without a word of its agent it was never there: the condition only says since when the object exists.
    let was_there = connection.filter(|_| !connected && status.agent.is_some());
    let agent = status.agent.as_ref();
    Endpoint {
        connected,
        offline_since: was_there.map(|condition| condition.last_transition_time.0.to_string()),
        certificate: holding::of(endpoint, &certificates, &facts.authority, now),
        acknowledged: digest.is_some() && agent.map(|agent| agent.trust_digest.as_str()) == digest,
        name: format!("{namespace}/{name}"),
    }
}

fn dropped(status: &CertificateAuthorityStatus, regions: &[Region], sites: &[Site]) -> Vec<Dropped> {
    let alive: Vec<u32> = status
        .generations
        .iter()
        .filter(|generation| generation.state != GenerationState::Removed)
        .map(|generation| generation.number)
        .collect();
    let one = |number: u32| {
        // Whoever does not trust what is newer lives by this one, whatever its own certificate is.
        let newer = alive.iter().filter(|other| **other > number).max().copied();
        let gateways = regions.iter().flat_map(|region| &region.gateways).map(|gateway| Cut {
            name: gateway.name.clone(),
            why: reasons(of_gateway(gateway, number), newer.filter(|_| !gateway.acknowledged)),
        });
        let endpoints = sites.iter().flat_map(|site| &site.endpoints).filter_map(|endpoint| {
            let held = endpoint.certificate.as_ref()?;
            let mine = held.generation == Some(number);
            // It takes the bundle from the same Secret as its certificate, so there is nothing to acknowledge yet.
            let waits = newer.filter(|_| !endpoint.acknowledged && !held.delivered);
            let which =
                if held.delivered { "the certificate in its Secret, never used yet," } else { "its certificate" };
            let why = reasons(mine.then(|| format!("{which} is of generation {number}")), waits);
            Some(Cut { name: endpoint.name.clone(), why })
        });
        Dropped { generation: number, cut: endpoints.chain(gateways).filter(|cut| !cut.why.is_empty()).collect() }
    };
    alive.iter().map(|number| one(*number)).collect()
}

fn of_gateway(gateway: &Gateway, number: u32) -> Option<String> {
    let of = gateway.certificates.iter().filter(|certificate| certificate.generation == Some(number));
    let purposes: Vec<&str> = of.map(|certificate| certificate.purpose.as_str()).collect();
    (!purposes.is_empty()).then(|| format!("its certificates ({}) are of generation {number}", purposes.join(", ")))
}

fn reasons(certificate: Option<String>, not_acknowledged: Option<u32>) -> Vec<String> {
    let trust =
        not_acknowledged.map(|newer| format!("it has not acknowledged the trust bundle with generation {newer}"));
    certificate.into_iter().chain(trust).collect()
}
