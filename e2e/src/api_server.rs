//! Plain connections to the API server that KUBECONFIG names: HTTP/1.1 over TLS, one request at a time on each.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body;
use hyper::client::conn::http1 as client;
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::kubectl::kubectl;

/// What can go wrong on the way.
pub type Broken = Box<dyn std::error::Error + Send + Sync>;

/// As whom to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// With the client certificate of the kubeconfig.
    Kubeconfig,
    /// Without: each request brings a token.
    Nobody,
}

/// Where it is and how it is recognised.
pub struct ApiServer {
    authority: String,
    name: ServerName<'static>,
    connector: TlsConnector,
}

impl ApiServer {
    /// The one of KUBECONFIG.
    pub fn of_kubeconfig(caller: Caller) -> Self {
        let view = kubectl(&["config", "view", "--raw", "--minify", "--flatten", "--output", "json"]);
        let view: Value = serde_json::from_str(&view).expect("JSON");
        let cluster = &view["clusters"][0]["cluster"];
        let authority = cluster["server"].as_str().expect("a server").trim_start_matches("https://").to_owned();
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates(&cluster["certificate-authority-data"]) {
            roots.add(certificate).expect("a CA");
        }
        let config = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match caller {
            Caller::Nobody => config.with_no_client_auth(),
            Caller::Kubeconfig => {
                let user = &view["users"][0]["user"];
                let key = PrivateKeyDer::from_pem_slice(&decoded(&user["client-key-data"])).expect("a key");
                config.with_client_auth_cert(certificates(&user["client-certificate-data"]), key).expect("a pair")
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (host, _) = authority.rsplit_once(':').expect("host:port");
        let name = ServerName::try_from(host.to_owned()).expect("a name");
        Self { authority, name, connector: TlsConnector::from(Arc::new(config)) }
    }

    /// A new connection.
    ///
    /// # Errors
    /// TCP, TLS or HTTP says no.
    pub async fn connect<B>(&self) -> Result<client::SendRequest<B>, Broken>
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<Broken>,
    {
        let tcp = TcpStream::connect(&self.authority).await?;
        tcp.set_nodelay(true)?;
        let tls = self.connector.connect(self.name.clone(), tcp).await?;
        let (sender, connection) = client::handshake(TokioIo::new(tls)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// One connection with a thread's patience: each change returns when the API server has committed it.
pub struct Changes {
    runtime: tokio::runtime::Runtime,
    connection: client::SendRequest<Full<Bytes>>,
}

impl Changes {
    /// Connects as the kubeconfig's user.
    pub fn begin() -> Self {
        let server = ApiServer::of_kubeconfig(Caller::Kubeconfig);
        // Of its own thread: the connection must be read from while nobody asks.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let connection = runtime.block_on(server.connect()).expect("the API server");
        Self { runtime, connection }
    }

    /// A merge patch of one of our objects.
    ///
    /// # Panics
    /// When the API server refuses it.
    pub fn patch(&mut self, namespace: &str, plural: &str, name: &str, patch: &Value) {
        let request = Request::patch(format!("/apis/sallyport.dev/v1alpha1/namespaces/{namespace}/{plural}/{name}"))
            .header(header::HOST, "kubernetes")
            .header(header::CONTENT_TYPE, "application/merge-patch+json")
            .body(Full::new(Bytes::from(patch.to_string())))
            .expect("a request");
        let Self { runtime, connection } = self;
        runtime.block_on(async {
            connection.ready().await.expect("the API server");
            let response = connection.send_request(request).await.expect("the API server");
            let status = response.status();
            let body = response.into_body().collect().await.expect("an answer").to_bytes();
            assert!(status.is_success(), "{}", String::from_utf8_lossy(&body));
        });
    }
}

/// The one provider of cryptography.
pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn certificates(field: &Value) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(&decoded(field)).map(|certificate| certificate.expect("PEM")).collect()
}

fn decoded(field: &Value) -> Vec<u8> {
    STANDARD.decode(field.as_str().expect("data in the kubeconfig")).expect("base64")
}
