//! An engineer with the real CLI.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use sallyport_testkit::Credential;
use tempfile::TempDir;

use crate::region::{INNER, Region};
use crate::run::{built, output, text};
use crate::site::{Site, write_private};

/// An engineer's certificate and configuration.
pub struct Engineer {
    folder: TempDir,
}

impl Engineer {
    /// With this certificate, for this region.
    pub fn new(region: &Region, credential: &Credential) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write_private(&folder.path().join("ada.crt"), credential.chain_pem.as_bytes());
        write_private(&folder.path().join("ada.key"), credential.key_pem.as_bytes());
        write_private(&folder.path().join("ca.crt"), region.trust().as_bytes());
        let config = format!(
            "current: test\ncontexts:\n- name: test\n  server: https://{INNER}\n  address: {}:{}\n  \
             certificate: ada.crt\n  key: ada.key\n  trust: ca.crt\n",
            region.node, region.inner
        );
        write_private(&folder.path().join("config.yaml"), config.as_bytes());
        Self { folder }
    }

    /// `sallyportctl` with arguments, not yet run.
    pub fn ctl(&self, args: &[&str]) -> Command {
        let mut command = Command::new(built("sallyportctl"));
        command.arg("--config").arg(self.config()).args(args);
        command
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("config.yaml")
    }

    /// Runs a command on the scanner, over SSH through the CLI as ProxyCommand.
    pub fn ssh(&self, site: &Site, command: &str) -> Output {
        output(&mut self.ssh_command(site, command))
    }

    /// The same, not yet run.
    pub fn ssh_command(&self, site: &Site, command: &str) -> Command {
        let proxy = format!(
            "{} --config {} connect {} --service ssh --reason 'tube arcing' --stdio",
            built("sallyportctl").display(),
            self.config().display(),
            site.scanner()
        );
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"])
            .args(["-o", &format!("UserKnownHostsFile={}", site.fact("SITE_DEVICE_KNOWN_HOSTS"))])
            .args(["-o", &format!("ProxyCommand={proxy}")])
            .args(["-i", site.fact("SITE_DEVICE_KEY")])
            .arg(format!("{}@{}", site.fact("SITE_DEVICE_USER"), site.fact("SITE_DEVICE_IP")))
            .arg(command)
            .stdin(Stdio::null());
        ssh
    }

    /// Opens a session on a local port.
    pub fn connect(&self, device: &str, service: &str) -> Connection {
        let mut child = self
            .ctl(&["connect", device, "--service", service, "--reason", "tube arcing", "--output", "json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sallyportctl");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut seen = String::new();
        while let Some(Ok(line)) = lines.next() {
            seen.push_str(&line);
            if let Some(address) = local_address(&seen) {
                return Connection { child, address };
            }
        }
        let rest = child.wait_with_output().expect("it ends");
        panic!("no local port: {seen} {}", text(&rest.stderr));
    }
}

/// The first loopback address with a port in a text.
fn local_address(text: &str) -> Option<String> {
    let at = text.find("127.0.0.1:")?;
    let address: String = text[at..].chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
    // The number is complete once something follows it.
    let complete = text[at + address.len()..].chars().next().is_some();
    (complete && !address.ends_with(':')).then_some(address)
}

/// An open session on a local port; dropping it ends it.
pub struct Connection {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
}

impl Connection {
    /// Waits until the CLI ends by itself, and gives its exit code and last words.
    pub fn ended(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().expect("it ends");
        let mut words = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            std::io::Read::read_to_string(&mut stderr, &mut words).expect("text");
        }
        (status.code(), words)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = output(Command::new("kill").args(["-TERM", &self.child.id().to_string()]));
        let _ = self.child.wait();
    }
}
