//! The words of the protocol: how a target and a refusal are written in HTTP/2 headers, and read back. What does not
//! parse is refused; nothing is passed on as text.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use sallyport_core::name::{DeviceId, Name};

pub(crate) const OFFER: &str = "/offer";
pub(crate) const TRUST: &str = "/trust";
pub(crate) const IDENTITY: &str = "/identity";
pub(crate) const DRAIN: &str = "/drain";

const DETAIL: HeaderName = HeaderName::from_static("sallyport-detail");
pub(crate) const GATEWAY: HeaderName = HeaderName::from_static("sallyport-gateway");
const REFUSAL: HeaderName = HeaderName::from_static("sallyport-refusal");
const SERVICE: HeaderName = HeaderName::from_static("sallyport-service");
const SESSION: HeaderName = HeaderName::from_static("sallyport-session");
const TRUST_DIGEST: HeaderName = HeaderName::from_static("sallyport-trust-digest");

/// A session id is a UUID or shorter; a detail is one sentence. Longer ones are cut.
const MAX_SESSION: usize = 128;
const MAX_DETAIL: usize = 300;

/// SHA-256 in hex is 64; room for a longer hash.
const MAX_DIGEST: usize = 128;

/// What a stream is to be connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamTarget {
    /// The device, which the agent looks up in its offer.
    pub device: DeviceId,
    /// One of the device's declared services.
    pub service: Name,
    /// The session it belongs to, for the agent's log. 1 to 128 printable ASCII characters.
    pub session: String,
}

impl StreamTarget {
    /// `CONNECT NAME.NAMESPACE`: names have no dots, so this splits in one way only.
    pub(crate) fn request(&self) -> Option<Request<()>> {
        let DeviceId(device) = &self.device;
        let fits = (1..=MAX_SESSION).contains(&self.session.len());
        let session = HeaderValue::from_str(&self.session).ok().filter(|_| fits)?;
        Request::builder()
            .method(Method::CONNECT)
            .uri(format!("{}.{}", device.name, device.namespace))
            .header(SERVICE, self.service.as_str())
            .header(SESSION, session)
            .body(())
            .ok()
    }

    pub(crate) fn parse(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let (name, namespace) = uri.authority()?.as_str().split_once('.')?;
        let session = headers.get(SESSION)?.to_str().ok()?;
        Some(Self {
            device: DeviceId::parse(namespace, name).ok()?,
            service: headers.get(SERVICE)?.to_str().ok()?.parse().ok()?,
            session: Some(session).filter(|s| (1..=MAX_SESSION).contains(&s.len()))?.to_owned(),
        })
    }
}

/// Why the agent does not connect a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Refusal {
    /// The kind, for metrics and for the one who decides what to do.
    pub reason: RefusalReason,
    /// What was seen, for a human.
    pub detail: String,
}

impl Refusal {
    /// A refusal with what was seen.
    pub fn new(reason: RefusalReason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    pub(crate) fn response(&self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response.headers_mut().insert(REFUSAL, HeaderValue::from_static(self.reason.label()));
        response.headers_mut().insert(DETAIL, printable(&self.detail));
        response
    }

    pub(crate) fn parse(headers: &HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
        Self::new(RefusalReason::of_label(text(REFUSAL)), text(DETAIL))
    }
}

macro_rules! refusal_reasons {
    ($($(#[$doc:meta])* $variant:ident = $label:literal,)+) => {
        /// The kinds of refusal. A closed set: they are metric labels at both ends.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RefusalReason { $($(#[$doc])* $variant,)+ }

        impl RefusalReason {
            /// All of them, in alphabetical order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The spelling used on the wire, in metrics and logs.
            pub fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }
        }
    };
}

refusal_reasons! {
    /// The request makes no sense to the agent.
    BadRequest = "badRequest",
    /// The device's name could not be resolved on the site.
    NameNotResolved = "nameNotResolved",
    /// The agent has no valid offer, so it may connect to nothing.
    NoOffer = "noOffer",
    /// The site's own allow-list does not name the target.
    NotAllowedLocally = "notAllowedLocally",
    /// A reason this version does not know.
    Other = "other",
    /// The name resolved to an address that no device may have.
    RefusedAddress = "refusedAddress",
    /// The agent is about to stop.
    Stopping = "stopping",
    /// The offer has no such device.
    UnknownDevice = "unknownDevice",
    /// The device offers no such service.
    UnknownService = "unknownService",
    /// The device did not answer, or refused the connection.
    Unreachable = "unreachable",
}

impl RefusalReason {
    fn of_label(label: &str) -> Self {
        Self::ALL.iter().copied().find(|reason| reason.label() == label).unwrap_or(Self::Other)
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// A refused push travels in the same header as a refused stream's detail.
pub(crate) fn push_refused(why: &str) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    response.headers_mut().insert(DETAIL, printable(why));
    response
}

/// Done, and nothing to say.
pub(crate) fn no_content() -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// The bundle of this digest is in force.
pub(crate) fn trusted(digest: &str) -> Option<Response<()>> {
    let mut response = no_content();
    response.headers_mut().insert(TRUST_DIGEST, HeaderValue::from_str(digest_of(digest)?).ok()?);
    Some(response)
}

/// Which bundle the agent says is in force.
pub(crate) fn trust_digest(headers: &HeaderMap) -> Option<String> {
    digest_of(headers.get(TRUST_DIGEST)?.to_str().ok()?).map(str::to_owned)
}

fn digest_of(text: &str) -> Option<&str> {
    let fits = (1..=MAX_DIGEST).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(text)
}

pub(crate) fn post(path: &str) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::builder()
        .scheme("http")
        .authority("agent")
        .path_and_query(path)
        .build()
        .unwrap_or_else(|_| Uri::from_static("http://agent/"));
    request
}

/// The question for proof, with who asks.
pub(crate) fn identity(gateway: &str) -> Request<()> {
    let mut request = post(IDENTITY);
    request.headers_mut().insert(GATEWAY, printable(gateway));
    request
}

/// Text of a human or an operating system, made fit for a header.
fn printable(text: &str) -> HeaderValue {
    let text: String = text.chars().map(|c| if (' '..='~').contains(&c) { c } else { '?' }).take(MAX_DETAIL).collect();
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NAME: &str = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?";

    proptest! {
        #[test]
        fn a_target_round_trips(namespace in NAME, name in NAME, service in NAME, session in "[!-~]{1,128}") {
            let device = DeviceId::parse(&namespace, &name).unwrap();
            let target = StreamTarget { device, service: service.parse().unwrap(), session };
            let request = target.request().unwrap();
            prop_assert_eq!(StreamTarget::parse(request.uri(), request.headers()), Some(target));
        }

        #[test]
        fn a_refusal_always_fits_in_a_header(detail in ".{0,400}") {
            for reason in RefusalReason::ALL {
                let back = Refusal::parse(Refusal::new(*reason, detail.clone()).response().headers());
                prop_assert_eq!(back.reason, *reason);
                prop_assert_eq!(back.detail.len(), detail.chars().count().min(MAX_DETAIL));
            }
        }
    }

    #[test]
    fn a_hostile_session_is_no_header() {
        let device = DeviceId::parse("lyon", "ct-1").unwrap();
        for session in ["", "a\r\nsallyport-service: ssh", &"x".repeat(129)] {
            let target =
                StreamTarget { device: device.clone(), service: "ssh".parse().unwrap(), session: session.into() };
            assert!(target.request().is_none(), "{session:?}");
        }
    }
}
