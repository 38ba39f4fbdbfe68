//! The command line: what is printed, and the exit code. Nothing here decides anything.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the edge towards the terminal")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use sallyport_runtime::telemetry::Format;
use sallyport_runtime::{shutdown, telemetry};

use crate::config::{Config, Level, Log, LogFormat};
use crate::surroundings::Surroundings;
use crate::{check, run};

const EXAMPLE: &str = "\
Example of /etc/sallyport/agent.yaml:

  gateway:
    host: outer.dmz.example.com        # the name in the gateway's certificate
  certificate: /etc/sallyport/tls.crt
  key: /etc/sallyport/tls.key
  trust: /etc/sallyport/ca.crt
  allow: /etc/sallyport/allow.yaml     # optional: narrows what the vendor's offer may reach

First make sure that the firewall and the certificates are right, then start:

  sallyport-agent check
  systemctl enable --now sallyport-agent";

/// Connects the medical devices of a site to the vendor's remote service, outwards only.
#[derive(Debug, Parser)]
#[command(name = "sallyport-agent", version, after_help = EXAMPLE)]
pub struct Cli {
    /// The configuration file.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        default_value = "/etc/sallyport/agent.yaml",
        env = "SALLYPORT_AGENT_CONFIG"
    )]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Test everything between this host and the gateway, and say what to change; exit code 1 if something fails.
    Check {
        /// How to print the result.
        #[arg(short, long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Print a completion script for a shell.
    Completion {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Keep the tunnels to the gateway until told to stop (SIGTERM).
    Run,
    /// Print the version.
    Version,
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For programs.
    Json,
    /// For people.
    Text,
}

/// Does what the command line says.
pub fn main(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "sallyport-agent", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        Command::Version => {
            println!("sallyport-agent {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Command::Check { output } => runtime(async move {
            let report = check::run(&cli.config, &Surroundings::real(), |name| std::env::var(name).ok()).await;
            match output {
                Output::Json => println!("{}", report.to_json()),
                Output::Text => print!("{report}"),
            }
            if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }),
        Command::Run => {
            let config = match Config::read(&cli.config) {
                Ok(config) => config,
                Err(error) => return fail(&error),
            };
            if let Err(error) = telemetry::init(format(config.log), level(config.log)) {
                return fail(&error);
            }
            runtime(async move {
                let stop = match shutdown::signal() {
                    Ok(stop) => stop,
                    Err(error) => return fail(&error),
                };
                match run::run(config, Surroundings::real(), stop).await {
                    Ok(()) => ExitCode::SUCCESS,
                    Err(error) => fail(&error),
                }
            })
        }
    }
}

/// One thread is enough for what a site's devices send, and keeps the agent small.
fn runtime(work: impl Future<Output = ExitCode>) -> ExitCode {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(work);
            // A resolver that hangs sits in a thread of its own; it does not keep the process.
            runtime.shutdown_background();
            code
        }
        Err(error) => fail(&error),
    }
}

fn format(log: Log) -> Format {
    match log.format {
        LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
    }
}

fn level(log: Log) -> &'static str {
    match log.level {
        Level::Debug => "debug",
        Level::Error => "error",
        Level::Info => "info",
        Level::Warn => "warn",
    }
}

/// The whole chain on one line.
fn fail(error: &dyn std::error::Error) -> ExitCode {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    eprintln!("sallyport-agent: {text}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["sallyport-agent", "check", "-o", "json", "--config", "/x"]).unwrap();
        assert_eq!(cli.config, PathBuf::from("/x"));
    }

    #[test]
    fn the_example_of_the_help_is_a_configuration() {
        let yaml: Vec<&str> =
            EXAMPLE.lines().filter(|l| l.starts_with("  ") && !l.contains("sallyport-agent")).collect();
        Config::parse(&yaml.join("\n")).unwrap();
    }
}
