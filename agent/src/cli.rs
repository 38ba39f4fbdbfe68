//! The command line: what is printed, and the exit code. Nothing here decides anything.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the edge towards the terminal")]

use std::io::{ErrorKind, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use sallyport_core::name::EndpointId;
use sallyport_runtime::telemetry::Format;
use sallyport_runtime::{shutdown, telemetry};

use crate::config::{Config, ConfigError, Gateway, Level, Log, LogFormat};
use crate::enrol::{Anchor, Enrolment, Fingerprint, Present, token};
use crate::surroundings::Surroundings;
use crate::{check, run};

const EXAMPLE: &str = "\
The least /etc/sallyport/agent.yaml, and what may be added:

  gateway:
    host: outer.dmz.example.com        # the name in the gateway's certificate
  allow: /etc/sallyport/allow.yaml     # optional: narrows what the vendor's offer may reach

Then, on a new site, with the token and the fingerprint that the vendor gave you:

  runuser -u sallyport-agent -- sallyport-agent enrol --endpoint NAMESPACE/NAME --fingerprint SHA256
  runuser -u sallyport-agent -- sallyport-agent check
  systemctl enable --now sallyport-agent";

/// A paragraph is one line: clap wraps it to the terminal.
const ENROL_EXAMPLE: &str = "\
The vendor makes the token with `sallyportctl enrol token`, which also prints the fingerprint of the region's CA. It is \
good once and for a short time. It is read from --token-file, else from the environment variable \
SALLYPORT_ENROLMENT_TOKEN, else from standard input; never from the command line, which every user of this host can read.

  sallyport-agent enrol --endpoint site-lyon/ct --fingerprint 3f9a...c1
  sallyport-agent enrol --endpoint site-lyon/ct --trust ca.crt < token
  sallyport-agent enrol --endpoint site-lyon/ct --trust ca.crt --replace

With --fingerprint, the region's CA certificates are fetched over a connection that nobody has verified, and only the one \
with exactly this SHA-256 is believed; the gateway must be certified by it. Take the fingerprint from the vendor by \
another way than this connection. With --trust, the file's CA certificates are believed.

After an interruption, or when the certificate cannot be used yet, the same command goes on with the key and the \
certificate that were kept.

Key, certificate and trust are written where the configuration says, by default into /var/lib/sallyport-agent. Run it as \
the agent's user (runuser -u sallyport-agent -- ...); run by root, the files are given to their folder's owner.";

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
    /// Get this site's certificate from the gateway with a one-time token; the key is made here and never leaves.
    #[command(after_help = ENROL_EXAMPLE)]
    Enrol(Enrol),
    /// Keep the tunnels to the gateway until told to stop (SIGTERM).
    Run,
    /// Print the version.
    Version,
}

/// What `enrol` takes.
#[derive(Debug, Args)]
pub struct Enrol {
    /// Which endpoint this agent is to be.
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub endpoint: EndpointId,
    /// The outer door, instead of the configuration's `gateway`.
    #[arg(long, value_name = "HOST[:PORT]", value_parser = Gateway::parse)]
    pub gateway: Option<Gateway>,
    /// A file with the one-time token; without it the environment and standard input are looked at.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// SHA-256 of the region's CA certificate, in hexadecimal.
    #[arg(long, value_name = "SHA256", conflicts_with = "trust", required_unless_present = "trust")]
    pub fingerprint: Option<Fingerprint>,
    /// A file with the region's CA certificates, PEM.
    #[arg(long, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// Overwrite a certificate of another endpoint that is still valid.
    #[arg(long)]
    pub replace: bool,
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
        Command::Enrol(arguments) => {
            let (enrolment, hint) = match enrolment(&cli.config, arguments) {
                Ok(ready) => ready,
                Err(error) => return fail(&*error),
            };
            runtime(async move {
                match enrolment.run(&Surroundings::real(), &|waiting| eprintln!("{waiting}")).await {
                    Ok(enrolled) => {
                        print!("{enrolled}");
                        hint.iter().for_each(|hint| println!("{hint}"));
                        ExitCode::SUCCESS
                    }
                    Err(error) => fail(&error),
                }
            })
        }
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

/// What to enrol, and what to write into the configuration afterwards, if anything.
fn enrolment(path: &Path, arguments: Enrol) -> Result<(Enrolment, Option<String>), Box<dyn std::error::Error>> {
    let Enrol { endpoint, gateway, token_file, fingerprint, trust, replace } = arguments;
    let (config, hint) = match (Config::read(path), gateway) {
        (Ok(config), None) => (config, None),
        (Ok(config), Some(gateway)) if (&gateway.host, gateway.port) == (&config.gateway.host, config.gateway.port) => {
            (config, None)
        }
        (Ok(config), Some(gateway)) => {
            let hint = hint(path, &gateway);
            (Config { gateway, ..config }, Some(hint))
        }
        (Err(ConfigError::Unreadable { source, .. }), Some(gateway)) if source.kind() == ErrorKind::NotFound => {
            let hint = hint(path, &gateway);
            (Config::of_gateway(gateway), Some(hint))
        }
        (Err(error), _) => return Err(error.into()),
    };
    let anchor = match (fingerprint, trust) {
        (Some(fingerprint), _) => Anchor::Fingerprint(fingerprint),
        (None, Some(path)) => Anchor::Trust(path),
        (None, None) => return Err("one of --fingerprint and --trust is needed".into()),
    };
    let asked = token_file.is_none() && std::env::var_os(token::VARIABLE).is_none() && std::io::stdin().is_terminal();
    if asked {
        eprint!("one-time token: ");
    }
    let token = token::read(token_file.as_deref(), |name| std::env::var(name).ok(), token::standard_input)?;
    let present = if replace { Present::Replace } else { Present::Keep };
    Ok((Enrolment { config, endpoint, token, anchor, present }, hint))
}

fn hint(path: &Path, gateway: &Gateway) -> String {
    let Gateway { host, port, .. } = gateway;
    format!("before that, write into {}:  gateway: {{ host: {host}, port: {port} }}", path.display())
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
    eprintln!("sallyport-agent: {}", check::chain(error));
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

    #[test]
    fn the_examples_of_enrol_are_command_lines() {
        let digest = "ab".repeat(32);
        let examples: Vec<_> = ENROL_EXAMPLE.lines().filter_map(|line| line.strip_prefix("  ")).collect();
        assert_eq!(examples.len(), 3);
        for example in examples {
            let line = example.replace("3f9a...c1", &digest).replace(" < token", "");
            let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
            assert!(matches!(cli.command, Command::Enrol(_)), "{example}");
        }
        let enrol = ["sallyport-agent", "enrol", "--endpoint", "lyon/ct"];
        for wrong in [&[][..], &["--token", "secret", "--trust", "x"], &["--trust", "x", "--fingerprint", &digest]] {
            assert!(Cli::try_parse_from(enrol.iter().chain(wrong)).is_err(), "{wrong:?}");
        }
    }
}
