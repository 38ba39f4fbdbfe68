//! `sallyport-gateway`: see the library's first page for what it is made of.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use sallyport_core::name::RegionId;
use sallyport_gateway::place::{HOLD, Listen, Place};
use sallyport_gateway::run;
use sallyport_runtime::{telemetry, tls};

/// The gateway of a Sallyport region. The operator starts it in a pod and dials its control port; nothing has to be
/// configured by hand.
#[derive(Parser)]
#[command(name = "sallyport-gateway", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run until SIGTERM, then drain.
    Run(Run),
}

#[derive(clap::Args)]
struct Run {
    /// Namespace of the region.
    #[arg(long, env = "POD_NAMESPACE")]
    namespace: String,
    /// Name of the DmzRegion.
    #[arg(long, env = "SALLYPORT_REGION")]
    region: String,
    /// Name of this replica, ending in its ordinal.
    #[arg(long, env = "POD_NAME")]
    gateway: String,
    /// Own volume: audit records, last configuration, keys.
    #[arg(long, env = "SALLYPORT_VOLUME", default_value = "/var/lib/sallyport")]
    volume: PathBuf,
    /// Folder with tls.crt and tls.key of the bootstrap certificate.
    #[arg(long, env = "SALLYPORT_BOOTSTRAP", default_value = "/etc/sallyport/bootstrap")]
    bootstrap: PathBuf,
    /// File with the region's trust bundle.
    #[arg(long, env = "SALLYPORT_TRUST", default_value = "/etc/sallyport/trust/ca.crt")]
    trust: PathBuf,
    /// Address that the ports are bound to.
    #[arg(long, env = "SALLYPORT_LISTEN", default_value = "0.0.0.0")]
    listen: std::net::IpAddr,
    /// How a peer is dialled; {gateway} stands for its name. Default: the headless Service of the region.
    #[arg(long, env = "SALLYPORT_PEERS")]
    peers: Option<String>,
    /// Log format.
    #[arg(long, env = "SALLYPORT_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
    /// Log filter, as in `info,sallyport_gateway=debug`.
    #[arg(long, env = "SALLYPORT_LOG", default_value = "info")]
    log: String,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum LogFormat {
    /// One object a line.
    Json,
    /// For a terminal.
    Text,
}

fn main() -> ExitCode {
    tls::install();
    let Cli { command: Command::Run(args) } = Cli::parse();
    let format = match args.log_format {
        LogFormat::Json => telemetry::Format::Json,
        LogFormat::Text => telemetry::Format::Text,
    };
    match telemetry::init(format, &args.log).map_err(|error| error.to_string()).and_then(|()| start(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[allow(clippy::print_stderr, reason = "the last word of a process that cannot run")]
            {
                eprintln!("sallyport-gateway: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

fn start(args: Run) -> Result<(), String> {
    let place = place(args)?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| error.to_string())?;
    runtime.block_on(run::run(place)).map_err(|error| error.to_string())
}

fn place(args: Run) -> Result<Place, String> {
    let region = RegionId::parse(&args.namespace, &args.region).map_err(|error| format!("--region: {error}"))?;
    let default_peers = format!("{{gateway}}.{}-gateways.{}.svc:8446", args.region, args.namespace);
    let template = args.peers.unwrap_or(default_peers);
    let port = |port| std::net::SocketAddr::new(args.listen, port);
    Ok(Place {
        region,
        gateway: args.gateway.parse().map_err(|error| format!("--gateway: {error}"))?,
        volume: args.volume,
        bootstrap: args.bootstrap,
        trust: args.trust,
        listen: Listen {
            outer: port(8443),
            inner: port(8444),
            control: port(8445),
            peer: port(8446),
            admin: port(9464),
        },
        hold: HOLD,
        peer_address: Arc::new(move |gateway| template.replace("{gateway}", gateway.as_str())),
    })
}
