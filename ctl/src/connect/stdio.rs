//! Standard input and output as the session's one stream, as ssh's ProxyCommand wants it. Standard output carries the
//! device's bytes and nothing else.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy, split, stdin, stdout};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Stop, Watch};
use crate::door::Dialler;

/// Who has nothing more to send may still wait for an answer, but not for ever: it may be gone.
const SILENCE_AFTER_INPUT: Duration = Duration::from_secs(30);

/// Until either side is done, somebody stops it or the session is over.
pub(crate) async fn carry(dialler: &Dialler, id: &str, watch: &Watch, asked_to_stop: &CancellationToken) -> Stop {
    let stream = match dialler.stream(id).await {
        Ok(stream) => stream,
        Err(failure) => return Stop::Failed(failure),
    };
    let (from_device, to_device) = split(stream);
    let input_over = CancellationToken::new();
    tokio::select! {
        biased;
        () = asked_to_stop.cancelled() => Stop::Done,
        over = watch.over() => Stop::Over(over),
        // The device hung up, or the session was cut: the answer to ending it tells which.
        _ = output(from_device, stdout(), &input_over) => Stop::Done,
        () = input(to_device, &input_over) => Stop::Done,
    }
}

async fn input(mut to_device: impl AsyncWrite + Unpin, over: &CancellationToken) {
    // An error here is the device's: its other half ends too, and says so.
    let _ = copy(&mut stdin(), &mut to_device).await;
    let _ = to_device.shutdown().await;
    over.cancel();
    std::future::pending::<()>().await;
}

async fn output(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    input_over: &CancellationToken,
) -> io::Result<()> {
    let mut buffer = vec![0; 32 * 1024];
    loop {
        let read = if input_over.is_cancelled() {
            match timeout(SILENCE_AFTER_INPUT, from.read(&mut buffer)).await {
                Ok(read) => read?,
                Err(_) => return Ok(()),
            }
        } else {
            tokio::select! {
                read = from.read(&mut buffer) => read?,
                () = input_over.cancelled() => continue,
            }
        };
        if read == 0 {
            return Ok(());
        }
        to.write_all(&buffer[..read]).await?;
        to.flush().await?;
    }
}
