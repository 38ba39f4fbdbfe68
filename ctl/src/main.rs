//! `sallyportctl`, the engineer's way through a region's inner door and the platform team's way to Sallyport's objects;
//! also `kubectl sallyport` when it is installed as `kubectl-sallyport`.
//!
//! It holds no secret but the caller's own key and decides nothing: who may reach what is the gateway's word, what becomes
//! of an object the operator's, and it prints both.
//!
//! ```text
//!        engineers ─▶ settings (flags, environment, config) ─▶ door (TLS, HTTP) ─▶ list | connect | config
//!  cli ─┤  auditors ─▶ audit (door, or a folder and a key, or a witness)                └─ failure: exit code, remedy
//!        platform team ─▶ cluster (kubeconfig, Kubernetes API) ─▶ audit | ca | certificate | enrol | suspend | trust
//! ```
//!
//! The two never meet: nothing outside `cluster` knows Kubernetes, and nothing in it knows the inner door.

mod api;
mod audit;
mod cli;
mod cluster;
mod config;
mod connect;
mod door;
mod failure;
mod list;
mod output;
mod settings;
mod words;

use std::process::ExitCode;

use cli::{Cli, Command};
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    sallyport_runtime::tls::install();
    let cli = cli::parse(&std::env::args_os().collect::<Vec<_>>());
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::Local { what: "cannot start".to_owned(), source: error }.report(),
    };
    let result = runtime.block_on(run(cli));
    // A read of standard input cannot be taken back; waiting for it would wait for a key to be pressed.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let output = Output::new(cli.options.output);
    let options = cli.options;
    match cli.command {
        Command::Audit { command } => Box::pin(audit::run(command, &options)).await,
        Command::Completion { shell } => cli::completion(shell, &output),
        Command::Config { command } => config::run(command, &options, &output),
        Command::Connect(wish) => connect::run(&mut settings::door(&options)?, wish, &output).await,
        Command::Devices => list::devices(&mut settings::door(&options)?, &output).await,
        Command::End { id } => list::end(&mut settings::door(&options)?, &id, &output).await,
        Command::Platform(command) => Box::pin(cluster::run(command)).await,
        Command::Sessions => list::sessions(&mut settings::door(&options)?, &output).await,
        Command::Status => list::status(&mut settings::door(&options)?, &output).await,
        Command::Version => output.line(&format!("sallyportctl {}", env!("CARGO_PKG_VERSION"))),
        Command::Whoami => list::whoami(&mut settings::door(&options)?, &output).await,
    }
}
