//! `audit witness`: a key outside the vendor's reach that says which history of a log it has seen (C2SP tlog-witness).
//! What it promises hangs on its memory: before a cosignature leaves, it is on the disk what was cosigned.

mod keeper;
mod once;
mod server;
mod store;

use std::sync::Arc;

use sallyport_runtime::shutdown;
use sallyport_runtime::tls::{self, ClientAuth, KeyMaterial};
use tokio::net::TcpListener;

use super::blocking;
use crate::cli::audit::Witness;
use crate::failure::Failure;
use crate::output::{self, Output};
use keeper::Keeper;

pub(crate) async fn run(wish: Witness) -> Result<(), Failure> {
    let (state, name, regions) = (wish.state.clone(), wish.name.clone(), wish.region.clone());
    let keeper = Arc::new(blocking(move || Keeper::open(&state, name, regions)).await?);
    let output = Output::new(crate::cli::Format::Table);
    if let Some(path) = wish.once {
        output::say(&format!("witness {}", keeper.verifier_key()));
        return blocking(move || once::run(&keeper, &path, &output)).await;
    }
    let Some(address) = wish.listen else {
        return Err(Failure::Usage(
            "say where to listen with --listen ADDRESS, or what to cosign with --once".to_owned(),
        ));
    };
    let tls = match (&wish.tls_cert, &wish.tls_key) {
        (Some(certificate), Some(key)) => {
            Some(tls::server(&KeyMaterial::read(certificate, key)?, ClientAuth::None, &[b"http/1.1"])?)
        }
        _ => None,
    };
    let cannot = |what: String| move |source| Failure::Local { what, source };
    let listener = TcpListener::bind(address).await.map_err(cannot(format!("cannot listen on --listen {address}")))?;
    let bound = listener.local_addr().map_err(cannot("cannot listen".to_owned()))?;
    let stop = shutdown::signal().map_err(cannot("cannot wait for signals".to_owned()))?;
    // For whoever started it: first the line to hand on, then that it is ready.
    output.line(&keeper.verifier_key().to_string())?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    output::say(&format!("listening on {scheme}://{bound}/add-checkpoint; what it has seen is at /"));
    server::serve(listener, tls, keeper, stop).await;
    output::say("stopped");
    Ok(())
}
