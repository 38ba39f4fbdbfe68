//! Real handshakes between real sockets, good and hostile.

mod ended;
mod expected;
mod failures;
mod good;
mod revoked;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::ServerName;
use sallyport_testkit::Credential;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{client, server};

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

fn material(credential: &Credential) -> KeyMaterial {
    KeyMaterial { chain_pem: credential.chain_pem.clone(), key_pem: credential.key_pem.clone() }
}

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

type Ends =
    (Result<client::TlsStream<TcpStream>, HandshakeFailure>, Result<server::TlsStream<TcpStream>, HandshakeFailure>);

/// Both ends of one handshake. The client's end reads once, because TLS 1.3 tells a refused client only then.
async fn handshake(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Ends {
    let (near, far) = pair().await;
    let door = Door::open(server);
    let serve = async {
        let accepted = door.accept(far, DEADLINE).await;
        if let Ok(mut stream) = accepted {
            tokio::io::AsyncWriteExt::write_all(&mut stream, b"!").await.unwrap();
            tokio::io::AsyncWriteExt::flush(&mut stream).await.unwrap();
            return Ok(stream);
        }
        accepted
    };
    let dial = async {
        let mut stream = connect(client, localhost(), near, DEADLINE).await?;
        stream.read_u8().await?;
        Ok(stream)
    };
    tokio::join!(dial, serve)
}

/// Labels of both ends' failures; "ok" for an end that succeeded.
async fn outcome(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> (&'static str, &'static str) {
    let (near, far) = handshake(client, server).await;
    (
        near.as_ref().map_or_else(HandshakeFailure::label, |_| "ok"),
        far.as_ref().map_or_else(HandshakeFailure::label, |_| "ok"),
    )
}
