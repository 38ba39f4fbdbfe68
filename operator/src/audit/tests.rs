//! What the tests of the audit share.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use object_store::memory::InMemory;
use sallyport_api::DmzRegion;
use sallyport_audit::tlog::note::{Signer, SigningKey};
use sallyport_runtime::tls::{self, ClientAuth, KeyMaterial};
use sallyport_testkit::Ca;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::archive::Archive;
use super::collect::state::State;
use super::collect::store;
use super::collect::tests::journal::{Journal, region as id};
use super::collect::verify::verify;
use super::records::{Open, Records};
use crate::context::Shared;
use crate::lease::Fence;

/// A region with one gateway.
pub(crate) fn region() -> DmzRegion {
    serde_json::from_value(json!({
        "apiVersion": "sallyport.dev/v1alpha1", "kind": "DmzRegion",
        "metadata": { "name": "eu", "namespace": "dmz", "uid": "u", "resourceVersion": "1" },
        "spec": {
            "replicas": 1,
            "certificateAuthorityRef": { "name": "ca" },
            "outer": { "host": "outer.example" },
            "inner": { "host": "inner.example" },
            "engineers": { "clientCertificates": { "authoritiesRef": { "name": "engineers", "key": "ca.crt" } } },
        },
    }))
    .unwrap()
}

/// An operator with an archive in memory.
pub(crate) struct Operator {
    pub(crate) ctx: Shared,
    pub(crate) records: Arc<Records>,
    pub(crate) open: Open,
}

pub(crate) fn signer() -> Arc<Signer> {
    Arc::new(Signer::new(super::key::key_name(&id()).unwrap(), SigningKey::generate().unwrap()))
}

pub(crate) fn operator() -> Operator {
    let ctx = crate::run::idle();
    let records = ctx.audit.region(&sallyport_plan::catalogue::ObjectKey::new("dmz", "eu"), &id());
    let archive = Arc::new(Archive::over(Arc::new(InMemory::new()), &Fence::leading()));
    let open = Open { archive, signer: signer() };
    records.opened(open.clone());
    Operator { ctx, records, open }
}

impl Operator {
    /// Archives what is new of a journal, as a collector does.
    pub(crate) async fn archive(&self, journal: &Journal) -> State {
        let Open { archive, signer } = &self.open;
        let loaded = State::load(archive, &journal.keeper).await.unwrap();
        let before = loaded.unwrap_or_else(|| State::new(journal.public_key()));
        let batch = journal.batch(before.through(), journal.newest());
        let scopes = batch.checkpoints.iter().map(|checkpoint| checkpoint.log.parse().unwrap());
        let heads = store::heads(archive, &journal.keeper, scopes).await.unwrap();
        let verified = verify(&before, &journal.keeper, &batch, &heads).unwrap();
        let (persons, checkpoints) = (Mutex::new(()), Mutex::new(()));
        let into = store::Into { archive, signer, persons: &persons, checkpoints: &checkpoints };
        let state = store::store(into, &journal.keeper, &before, verified).await.unwrap();
        self.records.archived(&journal.keeper, &state);
        state
    }
}

/// An HTTPS server for `localhost`: what it answers to a request, and where it is.
pub(crate) async fn https<F>(ca: &Ca, tasks: &mut JoinSet<()>, answer: F) -> String
where
    F: Fn(Request<Bytes>) -> Response<Bytes> + Clone + Send + 'static,
{
    tls::install();
    let credential = ca.inner_door("localhost");
    let material = KeyMaterial { chain_pem: credential.chain_pem.clone(), key_pem: credential.key_pem.clone() };
    let config = tls::server(&material, ClientAuth::None, &[b"http/1.1"]).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    let listener = TcpListener::bind("localhost:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tasks.spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(tcp).await else { continue };
            let answer = answer.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = answer.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let body = body.collect().await.unwrap().to_bytes();
                    Ok::<_, Infallible>(answer(Request::from_parts(parts, body)).map(Full::new))
                }
            });
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        }
    });
    url
}
