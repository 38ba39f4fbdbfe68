//! openssl's opinion of what we write.

use std::io::Write;
use std::process::{Command, Stdio};

/// What openssl writes, and what it remarks, when it is given these bytes as its input; the remarks alone when it fails.
pub(crate) fn openssl(arguments: &[&str], input: &[u8]) -> Result<(Vec<u8>, String), String> {
    let mut command = Command::new("openssl");
    let command = command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("openssl, which `make verify` needs");
    // One that has seen enough closes its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let remarks = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok((output.stdout, remarks)) } else { Err(remarks) }
}
