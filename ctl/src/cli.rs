//! The command line, and the help that teaches it.
//!
//! Two groups of commands with options of their own: the engineers' know the inner door and no cluster, the platform
//! team's ([`platform`]) know a cluster and no inner door.

pub(crate) mod audit;
pub(crate) mod platform;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output::Output;

/// Reach devices at customers through a Sallyport region: every session is asked for, granted by policy and by the
/// customer, recorded, and ends. For auditors: records, and the proof that they are whole. For the platform team: enrol
/// sites, rotate certificate authorities, revoke, suspend.
#[derive(Debug, Parser)]
#[command(name = "sallyportctl", version, after_help = EXAMPLES, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub options: Options,
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  sallyportctl config set frankfurt --server https://frankfurt.service.example \\
      --certificate me.pem --key me.key --trust region-ca.pem
  sallyportctl devices
  sallyportctl connect ct-scanner --service ssh --reason 'tube arcing, log check' --incident 4711
Of whoever holds an export, without a network:
  sallyportctl audit verify november --key \"$KEY\"
Of the platform team, with a kubeconfig:
  sallyportctl ca status frankfurt --namespace dmz-frankfurt
  sallyportctl enrol token lyon --namespace site-lyon

Exit codes:
  0  done                        4  the device's site is not connected
  1  anything else               5  region or cluster cannot be reached, or TLS failed
  2  wrong usage                 6  ended otherwise: session, rotation, revocation, suspension
  3  denied; the message says by what
  7  not done within --timeout; it goes on without you
  8  an export does not hold, or a witness did not cosign";

/// What the engineers' commands take, before or behind the command. A flag comes before the environment, and that before
/// the configuration file.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Options of the engineers' commands (flag, environment or context)")]
pub(crate) struct Options {
    /// Context of the configuration file [default: its current one]
    #[arg(long, env = "SALLYPORT_CONTEXT", hide_env_values = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Configuration file [default: ~/.config/sallyport/config.yaml]
    #[arg(long, env = "SALLYPORT_CONFIG", hide_env_values = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The region's inner door, such as https://frankfurt.service.example
    #[arg(long, env = "SALLYPORT_SERVER", hide_env_values = true, value_name = "URL")]
    pub server: Option<String>,
    /// Dial this address instead of the server's name, which is still what its certificate must say
    #[arg(long, env = "SALLYPORT_ADDRESS", hide_env_values = true, value_name = "HOST:PORT")]
    pub address: Option<String>,
    /// Your client certificate (PEM)
    #[arg(long, env = "SALLYPORT_CERTIFICATE", hide_env_values = true, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
    /// Its private key (PEM)
    #[arg(long, env = "SALLYPORT_KEY", hide_env_values = true, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// The region's certificate authority (PEM)
    #[arg(long, env = "SALLYPORT_TRUST", hide_env_values = true, value_name = "FILE")]
    pub trust: Option<PathBuf>,
    /// Print a table for people, or the answer as it is
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// What is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    // Plain comments: help for single values makes clap spread every option over four lines.
    // For people.
    #[default]
    Table,
    // The gateway's answer, indented.
    Json,
    // The same.
    Yaml,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Records of who did what: show, export, verify, witness
    Audit {
        #[command(subcommand)]
        command: audit::Audit,
    },
    /// Print a completion script for your shell
    #[command(
        after_help = "Examples:\n  sallyportctl completion bash > ~/.local/share/bash-completion/completions/sallyportctl"
    )]
    Completion {
        /// Which shell
        #[arg(value_parser = clap::value_parser!(Shell))]
        shell: Shell,
    },
    /// Look at and change the configuration file
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Open a session on a device's service and carry its bytes
    Connect(Wish),
    /// List the devices that a policy lets you reach
    #[command(after_help = "Examples:\n  sallyportctl devices\n  sallyportctl devices -o json")]
    Devices,
    /// End one of your sessions
    #[command(after_help = "Examples:\n  sallyportctl end 0-4f1c2a")]
    End {
        /// Id of the session, as `sessions` lists it
        id: String,
    },
    /// List your sessions, open and lately ended
    Sessions,
    /// Show the region's gateways
    Status,
    /// Print the version of this program
    Version,
    /// Show who you are to the region: user id, groups, end of your certificate
    Whoami,
    #[command(flatten)]
    Platform(platform::Platform),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Write a context from --server, --address, --certificate, --key and --trust; what is not given stays
    #[command(after_help = "\
Examples:
  sallyportctl config set frankfurt --server https://frankfurt.service.example \\
      --certificate me.pem --key me.key --trust region-ca.pem
  sallyportctl config set frankfurt --address 127.0.0.1:30444")]
    Set {
        /// Name of the context
        name: String,
    },
    /// Make a context the current one
    Use {
        /// Name of the context
        name: String,
    },
    /// Print the configuration
    View,
}

/// A session that is wished for.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  sallyportctl connect ct-scanner --service ssh --reason 'tube arcing, log check' --incident 4711
      opens a local port and prints the ssh command for it; Ctrl-C ends the session
  sallyportctl connect site-lyon/ct-scanner -s console -r 'calibration' --listen 127.0.0.1:8443
      then https://127.0.0.1:8443/ is the scanner's console
  ssh -o ProxyCommand=\"sallyportctl connect ct-scanner -s ssh -r 'log check' --stdio\" me@ct-scanner
      without a local port

The reason is shown to the customer and kept in the audit log.")]
pub(crate) struct Wish {
    /// NAMESPACE/NAME, or a NAME that only one of your devices has
    pub device: String,
    /// One of the device's services [default: its only one]
    #[arg(long, short, value_name = "NAME")]
    pub service: Option<String>,
    /// Why, for the customer and the audit log
    #[arg(long, short, value_name = "TEXT")]
    pub reason: String,
    /// The incident that this answers
    #[arg(long, short, value_name = "NUMBER")]
    pub incident: Option<String>,
    /// Local address to listen on; port 0 takes a free one
    #[arg(long, short, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Carry standard input and output instead of listening, as ssh's ProxyCommand wants it
    #[arg(long, conflicts_with = "listen")]
    pub stdio: bool,
}

/// What was asked for. Wrong usage and `--help` end the program here, as clap does it.
pub(crate) fn parse(arguments: &[OsString]) -> Cli {
    let mut command = command(arguments.first());
    let matches = command.try_get_matches_from_mut(arguments).unwrap_or_else(|error| error.exit());
    // The definition and the type come from one derive, so what one accepts the other does too.
    let mut cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command.kube_mut() {
        Some(kube) => {
            if let Some(id) = OPTIONS.iter().find(|id| given(&matches, id)) {
                let words =
                    format!("--{id} before the command is for the engineers' commands; write it behind, if at all");
                command.error(clap::error::ErrorKind::ArgumentConflict, words).exit();
            }
            kube.output.get_or_insert(cli.options.output);
        }
        None => cli.options = cli.options.overwritten(leaf(&matches)),
    }
    cli
}

impl Command {
    /// How a command of the platform team's reaches the cluster; nothing for those of others.
    fn kube_mut(&mut self) -> Option<&mut platform::Kube> {
        match self {
            Self::Audit { command: audit::Audit::Cluster(command) } => Some(command.kube_mut()),
            Self::Platform(platform) => Some(platform.kube_mut()),
            _ => None,
        }
    }
}

/// The names of [`Options`] but `output`, which both groups have.
const OPTIONS: [&str; 7] = ["context", "config", "server", "address", "certificate", "key", "trust"];

fn given(matches: &ArgMatches, id: &str) -> bool {
    matches.try_contains_id(id).is_ok() && matches.value_source(id) == Some(ValueSource::CommandLine)
}

fn leaf(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, matches)| leaf(matches))
}

impl Options {
    /// With what was written behind the command.
    fn overwritten(self, leaf: &ArgMatches) -> Self {
        fn pick<T: Clone + Send + Sync + 'static>(leaf: &ArgMatches, id: &str, before: T) -> T {
            if given(leaf, id) { leaf.get_one::<T>(id).cloned().unwrap_or(before) } else { before }
        }
        fn some<T: Clone + Send + Sync + 'static>(leaf: &ArgMatches, id: &str, before: Option<T>) -> Option<T> {
            if given(leaf, id) { leaf.get_one::<T>(id).cloned() } else { before }
        }
        Self {
            context: some(leaf, "context", self.context),
            config: some(leaf, "config", self.config),
            server: some(leaf, "server", self.server),
            address: some(leaf, "address", self.address),
            certificate: some(leaf, "certificate", self.certificate),
            key: some(leaf, "key", self.key),
            trust: some(leaf, "trust", self.trust),
            output: pick(leaf, "output", self.output),
        }
    }
}

/// The definition, under the name that it was called by.
fn command(called: Option<&OsString>) -> clap::Command {
    let stem = called.map(Path::new).and_then(Path::file_stem).and_then(|stem| stem.to_str());
    match stem {
        Some("kubectl-sallyport") => renamed(definition(), "kubectl sallyport").bin_name("kubectl sallyport"),
        _ => definition(),
    }
}

/// The derived one, with the engineers' options behind each of their commands too.
fn definition() -> clap::Command {
    let command = Cli::command();
    let engineers: Vec<String> = command
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .filter(|name| !platform::Platform::has_subcommand(name) && name != "audit")
        .collect();
    let command = engineers.into_iter().fold(command, |command, name| command.mut_subcommand(name, with_options));
    // Of the audit's commands these two knock at the inner door.
    let door = ["export", "records"];
    command.mut_subcommand("audit", |audit| {
        door.into_iter().fold(audit, |audit, name| audit.mut_subcommand(name, with_options))
    })
}

fn with_options(command: clap::Command) -> clap::Command {
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    if names.is_empty() {
        // Only the arguments: the derive would overwrite the command's own words as well.
        let options = Options::augment_args(clap::Command::new(""));
        let own: Vec<_> = command.get_arguments().filter_map(|own| own.get_long().map(str::to_owned)).collect();
        let others =
            options.get_arguments().filter(|option| !own.iter().any(|own| Some(own.as_str()) == option.get_long()));
        return command.args(others.cloned());
    }
    names.into_iter().fold(command, |command, name| command.mut_subcommand(name, with_options))
}

/// Examples that can be pasted as they are.
fn renamed(command: clap::Command, name: &str) -> clap::Command {
    let help = command.get_after_help().map(|help| help.to_string().replace("sallyportctl", name));
    let command = match help {
        Some(help) => command.after_help(help),
        None => command,
    };
    let subcommands: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    subcommands.into_iter().fold(command, |command, sub| command.mut_subcommand(sub, |sub| renamed(sub, name)))
}

/// The script for a shell.
pub(crate) fn completion(shell: Shell, output: &Output) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition(), "sallyportctl", &mut script);
    output.line(String::from_utf8_lossy(&script).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Cli {
        let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        parse(&words)
    }

    #[test]
    fn the_command_line_is_well_formed_under_both_names() {
        definition().debug_assert();
        command(Some(&OsString::from("/usr/bin/kubectl-sallyport"))).debug_assert();
    }

    #[test]
    fn the_engineers_options_stand_before_or_behind_the_command_and_the_last_counts() {
        let cli = parsed("sallyportctl --context a --address a:1 -o json devices --context b --key k");
        let Options { context, address, key, output, .. } = cli.options;
        assert_eq!((context.as_deref(), address.as_deref()), (Some("b"), Some("a:1")));
        assert_eq!((key, output), (Some(PathBuf::from("k")), Format::Json));
        let cli = parsed("sallyportctl --context a config set x --context b");
        assert_eq!(cli.options.context.as_deref(), Some("b"));
    }

    #[test]
    fn the_platform_teams_context_is_the_kubeconfigs() {
        let mut cli = parsed("sallyportctl -o yaml ca --context lab status -n dmz");
        let Command::Platform(platform) = &mut cli.command else { panic!("{:?}", cli.command) };
        let kube = platform.kube_mut();
        assert_eq!((kube.context.as_deref(), kube.namespace.as_deref()), (Some("lab"), Some("dmz")));
        assert_eq!((kube.output, cli.options.context.as_deref()), (Some(Format::Yaml), None));
    }
}
