//! The agent's configuration file. A mistake is refused with the file, the field and what to do; nothing is guessed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// `/etc/sallyport/agent.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// Whom to dial.
    pub gateway: Gateway,
    /// The endpoint's certificate chain, PEM. For renewal its folder must be writable for the agent's user.
    #[serde(default = "certificate")]
    pub certificate: PathBuf,
    /// Its private key, PEM (PKCS#8). The same path as `certificate` means one file with both.
    #[serde(default = "key")]
    pub key: PathBuf,
    /// The private CA's certificates, PEM. Nobody else is trusted, not the operating system's list either.
    #[serde(default = "trust")]
    pub trust: PathBuf,
    /// Whether the agent renews its certificate by itself; `false` where somebody else replaces the files.
    #[serde(default = "renew")]
    pub renew: bool,
    /// Where the last good offer and the last announcement of trust are kept.
    #[serde(default = "state_directory")]
    pub state_directory: PathBuf,
    /// The site's own allow-list. If given but unreadable, everything is refused.
    #[serde(default)]
    pub allow: Option<PathBuf>,
    /// How many tunnels to keep, 1 or 2; the second goes to another gateway if there is one.
    #[serde(default = "tunnels")]
    pub tunnels: u8,
    /// How to log.
    #[serde(default)]
    pub log: Log,
    /// Where metrics and health are served, to this host only.
    #[serde(default)]
    pub admin: Option<SocketAddr>,
}

/// The outer door of the region.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Gateway {
    /// The name in the gateway's certificate.
    pub host: String,
    /// The TCP port.
    #[serde(default = "port")]
    pub port: u16,
    /// The address to dial instead of what the name resolves to, for sites whose DNS does not know it.
    #[serde(default)]
    pub address: Option<IpAddr>,
}

/// How to log, on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Log {
    /// One JSON object a line, or text.
    pub format: LogFormat,
    /// The least important level that is shown.
    pub level: Level,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LogFormat {
    /// One object a line.
    Json,
    /// For people.
    #[default]
    Text,
}

/// Log levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// Mechanics.
    Debug,
    /// Only what needs somebody.
    Error,
    /// Decisions.
    #[default]
    Info,
    /// What may need somebody.
    Warn,
}

impl Config {
    /// Reads and checks the file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|fault| ConfigError::Fault { path: path.to_owned(), fault })
    }

    /// Everything as it is unless said otherwise.
    pub fn of_gateway(gateway: Gateway) -> Self {
        Self {
            gateway,
            certificate: certificate(),
            key: key(),
            trust: trust(),
            renew: renew(),
            state_directory: state_directory(),
            allow: None,
            tunnels: tunnels(),
            log: Log::default(),
            admin: None,
        }
    }

    /// Checks the text.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let config: Self = serde_yaml::from_str(text).map_err(|error| Fault::Syntax(error.to_string()))?;
        config.gateway.check()?;
        if config.trust == config.key || config.trust == config.certificate {
            return Err(Fault::OneFile(config.trust));
        }
        if !(1..=2).contains(&config.tunnels) {
            return Err(Fault::Tunnels(config.tunnels));
        }
        match config.admin {
            Some(address) if !address.ip().is_loopback() => Err(Fault::Admin(address)),
            _ => Ok(config),
        }
    }
}

impl Gateway {
    /// From `HOST` or `HOST:PORT`.
    ///
    /// # Errors
    /// [`Fault::Host`] and [`Fault::Port`].
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, number)) => (host, number.parse().map_err(|_| Fault::Port)?),
            None => (text, port()),
        };
        let gateway = Self { host: host.to_owned(), port, address: None };
        gateway.check().map(|()| gateway)
    }

    fn check(&self) -> Result<(), Fault> {
        if rustls_pki_types::DnsName::try_from(self.host.as_str()).is_err() {
            return Err(Fault::Host(self.host.clone()));
        }
        if self.port == 0 { Err(Fault::Port) } else { Ok(()) }
    }
}

/// The agent's own folder: it may replace files there.
fn state_directory() -> PathBuf {
    PathBuf::from("/var/lib/sallyport-agent")
}

fn certificate() -> PathBuf {
    state_directory().join("tls.crt")
}

fn key() -> PathBuf {
    state_directory().join("tls.key")
}

fn trust() -> PathBuf {
    state_directory().join("ca.crt")
}

fn renew() -> bool {
    true
}

fn tunnels() -> u8 {
    2
}

fn port() -> u16 {
    443
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Read, but wrong.
    #[error("configuration {path}: {fault}", path = path.display())]
    Fault {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        fault: Fault,
    },
    /// Not read.
    #[error("configuration {path} cannot be read; name the right file with --config", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What is wrong in the configuration, naming the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Metrics are for this host only.
    #[error("admin: {0} is not a loopback address; use for example {example}", example = SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)))]
    Admin(SocketAddr),
    /// A certificate needs a name to compare with.
    #[error(
        "gateway.host: {0:?} is not a DNS name; write the name in the gateway's certificate, and an IP address in gateway.address"
    )]
    Host(String),
    /// The trust file would be overwritten, or believed to be a certificate of ours.
    #[error("trust: {path} is also the file of the certificate or the key; give it a file of its own", path = .0.display())]
    OneFile(PathBuf),
    /// No port.
    #[error("gateway.port: a port is 1 to 65535; the usual one is 443")]
    Port,
    /// YAML, or a field missing, unknown or of another type.
    #[error("{0}; compare with the example in sallyport-agent --help")]
    Syntax(String),
    /// Neither 1 nor 2.
    #[error("tunnels: {0} is not 1 or 2")]
    Tunnels(u8),
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "gateway: {host: outer.example.com}\ncertificate: /c\nkey: /k\ntrust: /t\n";

    #[test]
    fn the_least_configuration_has_defaults() {
        let config = Config::parse(LEAST).unwrap();
        assert_eq!((config.gateway.port, config.tunnels), (443, 2));
        assert_eq!(config.state_directory, Path::new("/var/lib/sallyport-agent"));
        assert_eq!(config.log, Log { format: LogFormat::Text, level: Level::Info });
    }

    #[test]
    fn every_mistake_names_its_field() {
        for (more, names) in [
            ("tunels: 2", "tunels"),
            ("tunnels: 3", "tunnels"),
            ("admin: 0.0.0.0:9464", "admin"),
            ("log: {format: xml}", "format"),
            ("renew: sometimes", "renew"),
        ] {
            let fault = Config::parse(&format!("{LEAST}{more}\n")).unwrap_err().to_string();
            assert!(fault.contains(names), "{more}: {fault}");
        }
        for (from, to, names) in [
            ("outer.example.com", "10.0.0.1", "gateway.host"),
            ("outer.example.com", "a b", "gateway.host"),
            ("host: outer.example.com", "host: a.example, port: 0", "gateway.port"),
            ("key: /k", "keyy: /k", "key"),
            ("trust: /t", "trust: /k", "trust"),
        ] {
            let fault = Config::parse(&LEAST.replace(from, to)).unwrap_err().to_string();
            assert!(fault.contains(names), "{to}: {fault}");
        }
    }

    #[test]
    fn the_packaged_example_is_valid_and_the_default_path_is_there() {
        let example = include_str!("../packaging/agent.yaml");
        assert_eq!(Config::parse(example).unwrap().state_directory, state_directory());
    }

    #[test]
    fn the_files_are_in_the_agents_own_folder_unless_said_otherwise() {
        let config = Config::parse("gateway: {host: outer.example.com}\n").unwrap();
        assert_eq!(config, Config::of_gateway(Gateway::parse("outer.example.com").unwrap()));
        for path in [&config.certificate, &config.key, &config.trust] {
            assert_eq!(path.parent(), Some(config.state_directory.as_path()));
        }
        assert!(config.renew);
    }

    #[test]
    fn a_gateway_on_the_command_line_is_host_and_port() {
        let gateway = |text| Gateway::parse(text).map(|gateway| (gateway.host, gateway.port));
        assert_eq!(gateway("outer.example.com"), Ok(("outer.example.com".to_owned(), 443)));
        assert_eq!(gateway("outer.example.com:8443"), Ok(("outer.example.com".to_owned(), 8443)));
        for bad in ["", "a b", "10.0.0.1", "a.example:0", "a.example:https", "a.example:70000", "https://a.example"] {
            assert!(gateway(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_unreadable_file_is_named() {
        let error = Config::read(Path::new("/nowhere/agent.yaml")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/agent.yaml"));
    }
}
