//! What concerns the process as a whole, tried in a process of its own: this test program runs itself.

use std::process::{Command, Output};

use sallyport_runtime::telemetry::{self, Format, TelemetryError};
use sallyport_runtime::{shutdown, tls};

/// Set in the process that a test starts.
const CHILD: &str = "SALLYPORT_TEST_CHILD";

fn child(test: &str) -> Output {
    let program = std::env::current_exe().expect("a running test program");
    let arguments = ["--exact", test, "--nocapture", "--test-threads=1"];
    Command::new(program).args(arguments).env(CHILD, "1").output().expect("the test program starts")
}

fn in_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

#[test]
fn json_logs_are_flat_and_on_standard_error() {
    if in_child() {
        telemetry::init(Format::Json, "info,quiet=warn").unwrap();
        assert_eq!(telemetry::init(Format::Json, "info"), Err(TelemetryError::Begun));
        tracing::info!(site = "lyon/hospital", sessions = 3, "a line");
        tracing::debug!("below the level");
        tracing::info!(target: "quiet", "filtered by target");
        return;
    }
    let output = child("json_logs_are_flat_and_on_standard_error");
    assert!(output.status.success());
    let logs = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = logs.lines().filter(|line| line.starts_with('{')).collect();
    assert_eq!(lines.len(), 1, "{logs}");
    for part in [r#""level":"INFO""#, r#""message":"a line""#, r#""site":"lyon/hospital""#, r#""sessions":3"#] {
        assert!(lines[0].contains(part), "{part} in {logs}");
    }
    assert!(!lines[0].contains(r#""fields""#));
}

#[test]
fn both_signals_cancel_the_token() {
    for signal in ["-TERM", "-INT"] {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let token = shutdown::signal().unwrap();
            assert!(!token.is_cancelled());
            let own = std::process::id().to_string();
            assert!(Command::new("kill").args([signal, &own]).status().unwrap().success());
            tokio::time::timeout(std::time::Duration::from_secs(10), token.cancelled()).await.unwrap();
        });
    }
}

#[test]
fn the_installed_provider_is_strict_but_verifies_foreign_servers() {
    tls::install();
    tls::install();
    let installed = rustls::crypto::CryptoProvider::get_default().unwrap();
    assert_eq!(installed.cipher_suites.len(), 2);
    assert_eq!(installed.kx_groups.len(), 2);
    let schemes = installed.signature_verification_algorithms.supported_schemes();
    assert!(schemes.contains(&rustls::SignatureScheme::RSA_PSS_SHA256));
}

#[test]
fn formats_and_filters_are_parsed() {
    assert_eq!(("json".parse(), "text".parse()), (Ok(Format::Json), Ok(Format::Text)));
    assert!(matches!("xml".parse::<Format>(), Err(TelemetryError::Format { .. })));
    assert!(matches!(telemetry::init(Format::Text, "a=b=c"), Err(TelemetryError::Filter { .. })));
}
