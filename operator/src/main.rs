//! `sallyport-operator`.

use std::process::ExitCode;

use clap::Parser as _;
use sallyport_operator::cli::{Cli, Command};
use sallyport_operator::run;

fn main() -> ExitCode {
    sallyport_runtime::tls::install();
    match Cli::parse().command {
        Command::Version => {
            version();
            ExitCode::SUCCESS
        }
        Command::Run(flags) => {
            match runtime().and_then(|runtime| runtime.block_on(run::run(*flags)).map_err(Into::into)) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    fail(&*error);
                    ExitCode::FAILURE
                }
            }
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Box<dyn std::error::Error>> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

#[allow(clippy::print_stdout, reason = "the answer to a question on the command line")]
fn version() {
    println!("sallyport-operator {}", env!("CARGO_PKG_VERSION"));
}

/// Before logging has begun there is only standard error.
#[allow(clippy::print_stderr, reason = "logging may not have begun")]
fn fail(error: &dyn std::error::Error) {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    tracing::error!(reason = text, "ended");
    eprintln!("sallyport-operator: {text}");
}
