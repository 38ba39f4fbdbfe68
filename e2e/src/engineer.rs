//! An engineer with the real CLI.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use sallyport_testkit::Credential;
use serde_json::Value;
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
        Self::at(region, credential, &format!("{}:{}", region.node, region.inner))
    }

    /// The same, by one address of the inner door.
    pub fn at(region: &Region, credential: &Credential, address: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        write_private(&folder.path().join("ada.crt"), credential.chain_pem.as_bytes());
        write_private(&folder.path().join("ada.key"), credential.key_pem.as_bytes());
        let config = format!(
            "current: test\ncontexts:\n- name: test\n  server: https://{INNER}\n  address: {address}\n  \
             certificate: ada.crt\n  key: ada.key\n  trust: ca.crt\n"
        );
        write_private(&folder.path().join("config.yaml"), config.as_bytes());
        let engineer = Self { folder };
        engineer.update_trust(region);
        engineer
    }

    /// Takes the region's trust bundle as it is now. Programs that run keep the one that they began with.
    pub fn update_trust(&self, region: &Region) {
        // Renamed into place: another thread may be starting a program.
        let new = self.folder.path().join("ca.crt.new");
        write_private(&new, region.trust().as_bytes());
        std::fs::rename(new, self.folder.path().join("ca.crt")).expect("a file");
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
        self.try_connect(device, service).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Opens a session on a local port, or says why not.
    ///
    /// # Errors
    /// The CLI's last words.
    pub fn try_connect(&self, device: &str, service: &str) -> Result<Connection, String> {
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
            // Complete as soon as it is JSON.
            if let Ok(answer) = serde_json::from_str::<Value>(&seen) {
                let field = |value: &Value| value.as_str().expect("text").to_owned();
                let (address, gateway) = (field(&answer["listen"]), field(&answer["session"]["gateway"]));
                return Ok(Connection { child, address, gateway });
            }
        }
        let rest = child.wait_with_output().expect("it ends");
        Err(format!("no local port: {seen} {}", text(&rest.stderr)))
    }
}

/// An open session on a local port; dropping it ends it.
pub struct Connection {
    child: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
    /// The gateway that holds the session.
    pub gateway: String,
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
