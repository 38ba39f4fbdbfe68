//! From flags, environment and configuration to a door that can be knocked at.

use std::path::{Path, PathBuf};

use http::Uri;
use jiff::Timestamp;
use rustls_pki_types::ServerName;
use sallyport_runtime::{files, tls};

use crate::cli::Options;
use crate::config::{self, Config, Context};
use crate::door::{Dialler, Door};
use crate::failure::Failure;
use crate::{output, words};

/// A warning that comes in time to do something about it.
const WARN_BEFORE_DAYS: i64 = 14;

/// The inner door that the options mean.
pub(crate) fn door(options: &Options) -> Result<Door, Failure> {
    let path = config::path(options.config.as_deref())?;
    let context = context(options, &path)?;
    let beside = |file: &PathBuf| path.parent().map_or_else(|| file.clone(), |folder| folder.join(file));

    let server_text = required("server", options.server.as_ref(), context.server.as_ref())?;
    let (host, port) = server(server_text)?;
    let address = options.address.as_ref().or(context.address.as_ref());
    let (dial_host, dial_port) = match address {
        None => (host.clone(), port),
        Some(address) => host_and_port(address)
            .ok_or_else(|| Failure::Usage(format!("{address:?} is not an address; write HOST:PORT")))?,
    };

    let file = |name, given: Option<&PathBuf>, configured: Option<&PathBuf>| {
        required(name, given, configured.map(beside).as_ref()).cloned()
    };
    let certificate = file("certificate", options.certificate.as_ref(), context.certificate.as_ref())?;
    let key = file("key", options.key.as_ref(), context.key.as_ref())?;
    let trust = file("trust", options.trust.as_ref(), context.trust.as_ref())?;

    let own = tls::KeyMaterial::read(&certificate, &key)?;
    still_valid(&own, &certificate, Timestamp::now())?;
    let name = ServerName::try_from(host.clone())
        .map_err(|_| Failure::Usage(format!("{host:?} in --server is not a host name")))?;
    let config = tls::client(Some(&own), &files::read_trust_bundle(&trust)?, &[b"http/1.1"])?;
    Ok(Door::new(Dialler { authority: format!("{host}:{port}"), name, dial: (dial_host, dial_port), config }))
}

/// Host and port of `https://HOST[:PORT]`.
pub(crate) fn server(text: &str) -> Result<(String, u16), Failure> {
    let refused = || Failure::Usage(format!("{text:?} is not a server; write https://HOST or https://HOST:PORT"));
    let uri: Uri = text.parse().map_err(|_| refused())?;
    let plain = uri.path() == "/" && uri.query().is_none();
    match (uri.scheme_str(), uri.authority()) {
        (Some("https"), Some(authority)) if plain && !authority.as_str().contains('@') => {
            Ok((authority.host().trim_matches(['[', ']']).to_owned(), authority.port_u16().unwrap_or(443)))
        }
        _ => Err(refused()),
    }
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_matches(['[', ']']);
    if host.is_empty() { None } else { Some((host.to_owned(), port.parse().ok()?)) }
}

/// The context, which is empty when everything is given otherwise.
fn context(options: &Options, path: &Path) -> Result<Context, Failure> {
    let config = match path.exists() || options.config.is_some() {
        true => config::read(path)?,
        false => Config::default(),
    };
    match options.context.as_ref().or(config.current.as_ref()) {
        Some(name) => config.find(name, path).cloned(),
        None => Ok(Context::default()),
    }
}

fn required<'a, T>(name: &str, given: Option<&'a T>, configured: Option<&'a T>) -> Result<&'a T, Failure> {
    given.or(configured).ok_or_else(|| {
        Failure::Usage(format!(
            "no {name} is known: give --{name}, set SALLYPORT_{}, or write a context with `sallyportctl config set`",
            name.to_uppercase()
        ))
    })
}

/// The door would refuse an expired certificate with an alert that explains nothing.
fn still_valid(own: &tls::KeyMaterial, path: &Path, now: Timestamp) -> Result<(), Failure> {
    let leaf = own.leaf()?;
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(&leaf) else {
        return Err(tls::TlsError::Chain.into());
    };
    let Ok(end) = Timestamp::from_second(certificate.validity().not_after.timestamp()) else {
        return Ok(());
    };
    if end <= now {
        return Err(Failure::CertificateExpired { path: path.to_owned(), at: words::time(end) });
    }
    let days = end.duration_since(now).as_hours() / 24;
    if days < WARN_BEFORE_DAYS {
        output::say(&format!("note: your certificate expires at {}, in {days} days", words::time(end)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_a_host_with_or_without_port() {
        assert_eq!(server("https://a.example").unwrap(), ("a.example".to_owned(), 443));
        assert_eq!(server("https://a.example:8444/").unwrap(), ("a.example".to_owned(), 8444));
        for text in ["a.example", "http://a.example", "https://a.example/x", "https://u@a.example", "https://a/?q", ""]
        {
            assert!(server(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_has_a_port() {
        assert_eq!(host_and_port("127.0.0.1:30444"), Some(("127.0.0.1".to_owned(), 30444)));
        assert_eq!(host_and_port("[::1]:1"), Some(("::1".to_owned(), 1)));
        for text in ["localhost", ":1", "a:b", "a:70000", ""] {
            assert_eq!(host_and_port(text), None, "{text}");
        }
    }
}
