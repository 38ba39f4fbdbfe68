//! Enrolment with nothing but what docs/enrolment.md says: its lines are run as they stand.

#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use std::path::Path;
use std::process::{Command, Output};

use sallyport_e2e::region::{OUTER, SITES};
use sallyport_e2e::run::{built, run, text, tree};
use sallyport_e2e::site::Certificate;
use sallyport_e2e::{Region, Site, get, output};
use serde_json::Value;

/// The document's code blocks of a kind, in order.
fn blocks(kind: &str) -> Vec<String> {
    let document = std::fs::read_to_string(tree().join("docs/enrolment.md")).unwrap();
    let begin = format!("```sh {kind}\n");
    document.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// Runs lines of the document as a reader's shell would, but that an error ends them. curl finds the outer door's name at
/// the lab's node.
fn shell(lines: &str, folder: &Path, given: &[(&str, &str)], region: &Region) -> Output {
    let curlrc = format!("connect-to = \"{OUTER}:443:{}:{}\"\nmax-time = 20\n", region.node, region.outer);
    std::fs::write(folder.join(".curlrc"), curlrc).unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", lines]).current_dir(folder).env("CURL_HOME", folder);
    output(bash.envs(given.iter().copied()))
}

/// A new token for the endpoint of a site: the token and the CA's fingerprint.
fn token(endpoint: &str) -> (String, String) {
    let mut ctl = Command::new(built("sallyportctl"));
    ctl.args(["enrol", "token", endpoint, "--namespace", SITES, "--output", "json"]);
    let answer: Value = serde_json::from_str(&run(&mut ctl)).unwrap();
    let field = |name: &str| answer[name].as_str().unwrap().to_owned();
    (field("token"), field("fingerprint"))
}

#[test]
fn the_documented_lines_enrol_and_renew_with_curl_and_openssl_alone() {
    let region = Region::ready();
    let site = Site::with(&region, "by-hand", Certificate::ToBeEnrolled);
    let (token, fingerprint) = token(&site.name);
    let endpoint = format!("{SITES}/{}", site.name);
    let folder = tempfile::tempdir().unwrap();
    let given = [("HOST", OUTER), ("ENDPOINT", &endpoint), ("FINGERPRINT", &fingerprint), ("TOKEN", &token)];
    // What the document says is given is what is given here.
    let named: Vec<_> =
        blocks("given")[0].lines().filter_map(|l| l.split_once('=')).map(|(n, _)| n.to_owned()).collect();
    assert_eq!(named, given.map(|(name, _)| name));

    let recipe = blocks("recipe");
    assert_eq!(recipe.len(), 6, "the steps of the document");
    let mut serials = Vec::new();
    for (number, lines) in (1..).zip(&recipe) {
        let said = shell(lines, folder.path(), &given, &region);
        say(&format!("step {number}: {}{}", text(&said.stdout), text(&said.stderr)));
        assert!(said.status.success(), "step {number}: {lines}{said:?}");
        match number {
            3 => assert!(text(&said.stdout).contains("sallyport://"), "{said:?}"),
            4 => assert!(text(&said.stdout).contains(&site.name), "{said:?}"),
            6 => assert!(text(&said.stdout).contains("nextUpdate"), "{said:?}"),
            _ => {}
        }
        if number >= 3 {
            serials.push(serial(folder.path()));
        }
    }
    // The renewal gave another certificate, and the object knows the last.
    assert_ne!(serials[0], serials[3], "{serials:?}");
    let status = get(SITES, "tcert", &site.name)["status"].clone();
    assert_eq!(status["serial"].as_str().map(str::to_lowercase).as_ref(), serials.last(), "{status}");

    // A certificate alone, as a gateway could show in the endpoint's place, renews nothing.
    const PROOF: &str = "--header \"Sallyport-Renewal-Proof: $PROOF\"";
    assert!(recipe[4].contains(PROOF), "{}", recipe[4]);
    let unproven = shell(&recipe[4].replace(PROOF, ""), folder.path(), &given, &region);
    assert!(!unproven.status.success() && text(&unproven.stderr).contains("403"), "{unproven:?}");
    assert_eq!(serial(folder.path()), serials[3]);

    // The token is used up: the same line again is refused, and a guess is, too.
    let again = shell(&recipe[2], folder.path(), &given, &region);
    assert!(!again.status.success() && text(&again.stderr).contains("401"), "{again:?}");
    let guess: Vec<_> = given
        .iter()
        .map(|(name, value)| if *name == "TOKEN" { (*name, "spe_guessed") } else { (*name, *value) })
        .collect();
    let guess = shell(&recipe[2], folder.path(), &guess, &region);
    assert!(!guess.status.success() && text(&guess.stderr).contains("401"), "{guess:?}");
}

fn serial(folder: &Path) -> String {
    let said = run(Command::new("openssl").args(["x509", "-noout", "-serial", "-in"]).arg(folder.join("tls.crt")));
    said.trim().trim_start_matches("serial=").to_lowercase()
}

#[test]
fn an_agent_enrols_with_a_token_and_a_fingerprint_and_connects() {
    let region = Region::ready();
    let mut site = Site::with(&region, "by-token", Certificate::ToBeEnrolled);
    let (token, fingerprint) = token(&site.name);
    std::fs::write(site.path("token"), token).unwrap();
    let endpoint = format!("{SITES}/{}", site.name);
    let (config, token) = (site.path("agent.yaml"), site.path("token"));
    let agent = built("sallyport-agent");
    let arguments = [agent.to_str().unwrap(), "enrol", "--config", config.to_str().unwrap(), "--endpoint", &endpoint];
    let arguments =
        [&arguments[..], &["--fingerprint", &fingerprint, "--token-file", token.to_str().unwrap()]].concat();
    say(&site.exec("agent", &arguments));
    site.start_agent();
    site.wait_gateways(2);
    let ada = region.engineer("ada@vendor.example", &["ct-service"]);
    let ssh = ada.ssh(&site, "echo enrolled");
    assert!(ssh.status.success(), "{}", text(&ssh.stderr));
}

#[allow(clippy::print_stderr, reason = "the test's report")]
fn say(text: &str) {
    eprintln!("{text}");
}
