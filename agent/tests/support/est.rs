//! The gateway's side of EST, scripted: what was asked, and what is answered, lies included.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use sallyport_pki::authority::Leaf;
use sallyport_pki::bundle::TrustBundle;
use sallyport_pki::{est, reenrol};

/// One request of EST.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `cacerts`, `simpleenroll`, `simplereenroll`.
    pub operation: String,
    /// User and password of HTTP Basic.
    pub basic: Option<String>,
    /// The request's PKCS#10, DER.
    pub csr: Vec<u8>,
    /// The certificate of the connection.
    pub client: Option<Vec<u8>>,
    /// `Sallyport-Renewal-Proof`, decoded.
    pub proof: Option<Vec<u8>>,
}

impl Asked {
    pub async fn read(request: Request<Incoming>, client: Option<Vec<u8>>) -> Self {
        let (head, body) = request.into_parts();
        let basic = head.headers.get("authorization").map(|value| {
            let encoded = value.to_str().unwrap().strip_prefix("Basic ").unwrap();
            String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap()
        });
        let proof = head.headers.get(reenrol::HEADER).map(|value| STANDARD.decode(value).unwrap());
        let operation = head.uri.path().rsplit('/').next().unwrap().to_owned();
        assert_eq!(operation == "cacerts", head.method == http::Method::GET);
        if operation != "cacerts" {
            assert_eq!(head.headers["content-type"], "application/pkcs10");
        }
        let csr = STANDARD.decode(body.collect().await.unwrap().to_bytes()).unwrap();
        Self { operation, basic, csr, client, proof }
    }
}

/// One answer.
pub struct Answered {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answered {
    pub fn bundle(bundle: &TrustBundle) -> Self {
        Self::pkcs7(&est::cacerts(bundle))
    }

    pub fn leaf(leaf: &Leaf) -> Self {
        Self::pkcs7(&est::certs_only(&leaf.der))
    }

    /// Base64 in lines, as other servers write it.
    pub fn pkcs7(der: &[u8]) -> Self {
        let lines: Vec<_> = STANDARD.encode(der).as_bytes().chunks(64).map(<[u8]>::to_vec).collect();
        Self::raw("application/pkcs7-mime; smime-type=certs-only", &lines.join(&b"\r\n"[..]))
    }

    pub fn raw(kind: &str, body: &[u8]) -> Self {
        Self { status: 200, headers: vec![("content-type", kind.to_owned())], body: body.to_vec() }
    }

    pub fn refuse(status: u16, reason: &str) -> Self {
        let body = format!(r#"{{"code":"{reason}","message":"words of the gateway"}}"#);
        Self { status, headers: vec![("sallyport-reason", reason.to_owned())], body: body.into_bytes() }
    }

    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.headers.push(("retry-after", wait.as_secs().to_string()));
        self
    }

    pub fn response(self) -> http::Result<Response<Full<Bytes>>> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(Full::from(self.body))
    }
}
