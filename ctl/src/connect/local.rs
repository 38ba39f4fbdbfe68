//! A local port; each connection to it is a stream of the session.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Stop, Watch};
use crate::api::Session;
use crate::door::Dialler;
use crate::failure::Failure;
use crate::output;

pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    if !address.ip().is_loopback() {
        output::say(&format!(
            "warning: whoever reaches {address} uses your session; 127.0.0.1 is reached by this machine only"
        ));
    }
    let what = format!("cannot listen on {address}");
    TcpListener::bind(address).await.map_err(|source| Failure::Local { what, source })
}

/// What to type to use the port.
pub(crate) fn command(session: &Session, address: SocketAddr) -> Option<String> {
    let (host, port) = (address.ip(), address.port());
    match session.protocol.as_str() {
        "https" => Some(format!("https://{address}/")),
        // Every device is 127.0.0.1 from here; under its own name each keeps its own host key.
        "ssh" => Some(format!("ssh -p {port} -o HostKeyAlias={} USER@{host}", session.device.replace('/', "."))),
        "vnc" => Some(format!("vncviewer {host}::{port}")),
        _ => None,
    }
}

/// Until somebody stops it or the session is over.
pub(crate) async fn carry(
    listener: &TcpListener,
    dialler: &Arc<Dialler>,
    id: &str,
    watch: &Watch,
    asked_to_stop: &CancellationToken,
) -> Stop {
    // Dropped at the end, which closes what is still open.
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = asked_to_stop.cancelled() => return Stop::Done,
            over = watch.over() => return Stop::Over(over),
            Some(_) = streams.join_next() => watch.look(),
            accepted = listener.accept() => match accepted {
                Ok((local, _)) => {
                    streams.spawn(stream(local, Arc::clone(dialler), id.to_owned()));
                }
                Err(source) => {
                    return Stop::Failed(Failure::Local { what: "cannot accept connections".to_owned(), source });
                }
            }
        }
    }
}

/// Reads nothing from `local` before the gateway has agreed.
async fn stream(mut local: TcpStream, dialler: Arc<Dialler>, id: String) {
    let _ = local.set_nodelay(true);
    match dialler.stream(&id).await {
        Ok(mut remote) => {
            // How it ended is between the two ends; that it ended makes the caller look at the session.
            let _ = copy_bidirectional(&mut local, &mut remote).await;
        }
        Err(failure) => output::say(&format!("warning: a connection was refused: {}", failure.chain())),
    }
}
