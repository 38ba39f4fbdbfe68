//! The configuration file: one context for each region.

use std::env;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use sallyport_runtime::files;
use serde::{Deserialize, Serialize};

use crate::cli::{ConfigCommand, Options};
use crate::failure::Failure;
use crate::output::{self, Output};

/// The file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Config {
    /// The context used when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    #[serde(default)]
    pub contexts: Vec<Context>,
}

/// How to reach one region.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Context {
    pub name: String,
    /// `https://HOST[:PORT]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// `HOST:PORT` to dial instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Paths of PEM files; relative ones begin at the configuration file's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust: Option<PathBuf>,
}

pub(crate) fn run(command: ConfigCommand, options: &Options, output: &Output) -> Result<(), Failure> {
    let path = path(options.config.as_deref())?;
    let mut config = if path.exists() { read(&path)? } else { Config::default() };
    match command {
        ConfigCommand::View => {
            let value = serde_json::to_value(&config).unwrap_or_default();
            let yaml = || serde_yaml::to_string(&config).unwrap_or_default();
            output.answer(&value, || format!("# {}\n{}", path.display(), yaml()))
        }
        ConfigCommand::Use { name } => {
            config.find(&name, &path)?;
            config.current = Some(name.clone());
            write(&path, &config)?;
            output.line(&format!("current context: {name}"))
        }
        ConfigCommand::Set { name } => {
            config.set(&name, options)?;
            write(&path, &config)?;
            output.line(&format!("context {name} written to {}", path.display()))
        }
    }
}

impl Config {
    /// The context of this name.
    pub(crate) fn find(&self, name: &str, path: &Path) -> Result<&Context, Failure> {
        self.contexts.iter().find(|context| context.name == name).ok_or_else(|| {
            let names = self.contexts.iter().map(|context| context.name.as_str()).collect::<Vec<_>>();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Failure::Usage(format!("there is no context {name:?} in {}; there are: {names}", path.display()))
        })
    }

    /// Overwrites what is given and keeps the rest; the first context becomes the current one.
    fn set(&mut self, name: &str, options: &Options) -> Result<(), Failure> {
        if name.is_empty() || name.chars().any(char::is_whitespace) {
            return Err(Failure::Usage(format!("{name:?} is no name for a context: use letters without spaces")));
        }
        if let Some(server) = &options.server {
            crate::settings::server(server)?;
        }
        let context = match self.contexts.iter_mut().position(|context| context.name == name) {
            Some(at) => &mut self.contexts[at],
            None => {
                self.contexts.push(Context { name: name.to_owned(), ..Context::default() });
                let last = self.contexts.len() - 1;
                &mut self.contexts[last]
            }
        };
        let keep = |given: &Option<String>, old: &mut Option<String>| {
            if given.is_some() {
                old.clone_from(given);
            }
        };
        keep(&options.server, &mut context.server);
        keep(&options.address, &mut context.address);
        for (given, old) in [
            (&options.certificate, &mut context.certificate),
            (&options.key, &mut context.key),
            (&options.trust, &mut context.trust),
        ] {
            if let Some(path) = given {
                *old = Some(std::path::absolute(path).unwrap_or_else(|_| path.clone()));
            }
        }
        self.current.get_or_insert_with(|| name.to_owned());
        Ok(())
    }
}

/// Where the trust file of a context is: the named one, or that of `SALLYPORT_CONTEXT`, or the current one.
pub(crate) fn trust_file(given: Option<&Path>, context: Option<String>) -> Result<PathBuf, Failure> {
    let path = path(given)?;
    let config = read(&path)?;
    let from_environment = || env::var("SALLYPORT_CONTEXT").ok().filter(|name| !name.is_empty());
    let name = context.or_else(from_environment).or_else(|| config.current.clone());
    let name = name.ok_or_else(|| Failure::Usage(format!("{} has no current context; name one", path.display())))?;
    match &config.find(&name, &path)?.trust {
        Some(file) => Ok(path.parent().map_or_else(|| file.clone(), |folder| folder.join(file))),
        None => Err(Failure::Usage(format!(
            "context {name} of {} has no trust file; sallyportctl config set {name} --trust FILE",
            path.display()
        ))),
    }
}

/// Where the file is.
pub(crate) fn path(given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    let folder = env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let folder = folder.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
    match folder {
        Some(folder) => Ok(folder.join("sallyport/config.yaml")),
        None => Err(Failure::Usage("HOME is not set; name the configuration file with --config".to_owned())),
    }
}

pub(crate) fn read(path: &Path) -> Result<Config, Failure> {
    let text = files::read_text(path)?;
    serde_yaml::from_str(&text)
        .map_err(|error| Failure::Usage(format!("{} is not a configuration: {error}", path.display())))
}

fn write(path: &Path, config: &Config) -> Result<(), Failure> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| Failure::Local { what: format!("cannot create {}", folder.display()), source })?;
    }
    let yaml = serde_yaml::to_string(config).unwrap_or_default();
    files::write_atomic(path, yaml.as_bytes(), 0o600)?;
    if config.contexts.iter().any(|context| context.server.is_none()) {
        output::say("note: a context without --server cannot be used yet");
    }
    Ok(())
}
