//! Both ends of a tunnel in one process, and a handler that each test scripts.

#![allow(dead_code, unreachable_pub, reason = "a module of each test file, which uses a part of it")]

use std::collections::HashMap;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sallyport_core::name::DeviceId;
use sallyport_tunnel::*;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A site whose devices are in-memory pipes: the test takes the other end by service name.
#[derive(Default)]
pub struct Site {
    pub devices: Mutex<HashMap<String, DuplexStream>>,
    pub offers: Mutex<Vec<Bytes>>,
    pub announcements: Mutex<Vec<Bytes>>,
    pub drains: AtomicUsize,
    pub abandoned: AtomicUsize,
    pub connected: Notify,
}

struct Abandoned<'a>(&'a AtomicUsize);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Site {
    pub fn device(&self, service: &str) -> DuplexStream {
        self.devices.lock().unwrap().remove(service).unwrap()
    }
}

impl Handler for Site {
    type Io = DuplexStream;

    async fn connect(&self, target: StreamTarget) -> Result<DuplexStream, Refusal> {
        match target.service.as_str() {
            "refused" => return Err(Refusal::new(RefusalReason::NotAllowedLocally, "10.0.0.1:22 is not on the list")),
            "silent" => {
                let _counted = Abandoned(&self.abandoned);
                pending::<()>().await;
            }
            _ => {}
        }
        let (near, far) = duplex(8 * 1024);
        self.devices.lock().unwrap().insert(target.service.to_string(), far);
        self.connected.notify_waiters();
        Ok(near)
    }

    async fn offer(&self, signed: Bytes) -> Result<(), String> {
        if signed.starts_with(b"bad") {
            return Err("the signature does not fit".to_owned());
        }
        self.offers.lock().unwrap().push(signed);
        Ok(())
    }

    async fn trust(&self, signed: Bytes) -> Result<String, String> {
        match &signed[..] {
            b"bad announcement" => return Err("sequence 1 is known, and this is 0".to_owned()),
            b"no digest" => return Ok(String::new()),
            b"silent" => pending::<()>().await,
            _ => {}
        }
        let digest = format!("digest-of-{}-bytes", signed.len());
        self.announcements.lock().unwrap().push(signed);
        Ok(digest)
    }

    async fn identity(&self, nonce: [u8; NONCE]) -> Result<Proof, String> {
        match nonce[0] {
            0 => Err("the certificate has expired".to_owned()),
            first => Ok(Proof { certificate: vec![first; 2048], signature: nonce.repeat(8) }),
        }
    }

    fn drain(&self) {
        self.drains.fetch_add(1, Ordering::SeqCst);
    }
}

pub struct Pair {
    pub tunnel: Tunnel,
    pub site: Arc<Site>,
    pub gateway: JoinHandle<CloseReason>,
    pub agent: JoinHandle<CloseReason>,
    pub stop: CancellationToken,
}

pub async fn pair() -> Pair {
    let (a, b) = duplex(64 * 1024);
    pair_over(a, b, Limits::DEFAULT).await
}

pub async fn pair_over<S>(gateway: S, agent: S, limits: Limits) -> Pair
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let site = Arc::<Site>::default();
    let stop = CancellationToken::new();
    let agent = tokio::spawn(agent_end(agent, limits, Arc::clone(&site), stop.clone().cancelled_owned()));
    let (tunnel, driver) = gateway_end(gateway, limits).await.unwrap();
    Pair { tunnel, site, gateway: tokio::spawn(driver), agent, stop }
}

pub fn target(service: &str) -> StreamTarget {
    StreamTarget {
        device: DeviceId::parse("lyon", "ct-1").unwrap(),
        service: service.parse().unwrap(),
        session: "s-1".to_owned(),
    }
}

impl Pair {
    /// An open stream with the device's end of it.
    pub async fn connect(&self, service: &str) -> (TunnelStream, DuplexStream) {
        let stream = self.tunnel.open(target(service)).await.unwrap();
        (stream, self.site.device(service))
    }
}
