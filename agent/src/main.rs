//! `sallyport-agent`: see `--help`.

use std::process::ExitCode;

use clap::Parser;
use sallyport_agent::cli::Cli;

fn main() -> ExitCode {
    sallyport_runtime::tls::install();
    sallyport_agent::cli::main(Cli::parse())
}
