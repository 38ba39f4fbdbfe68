//! `ca rotate`: writes the request, and follows what becomes of it.

use std::cell::RefCell;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use sallyport_api::CertificateAuthority;
use sallyport_api::certificate_authority::{GivenUp, RotateRequest};
use serde_json::{Value, json};

use super::authority::follow::{Follow, Turn};
use super::authority::text;
use super::client::Cluster;
use super::refusal::Refusal;
use super::wait::{self, Awaited};
use crate::cli::platform::Rotate;
use crate::failure::Failure;
use crate::output::{self, Output};

/// The first field manager of this program; see the module above for why there are several.
const MANAGER: &str = "sallyportctl";

pub(crate) async fn run(cluster: &Cluster, wish: &Rotate, output: &Output) -> Result<(), Failure> {
    let authority: CertificateAuthority = cluster.get(&cluster.namespace, &wish.name).await?;
    output::say(&announcement(&authority, wish));
    confirm(wish)?;
    let request = RotateRequest {
        id: id(Timestamp::now())?,
        reason: wish.reason.clone(),
        emergency: wish.emergency,
        drop_within: wish.drop_within.clone(),
    };
    let written: CertificateAuthority = cluster.apply(MANAGER, &authority, &spec(&request)).await?;
    let Some(within) = wish.within() else {
        return output.answer(&json!({ "request": request }), || {
            let namespace = &cluster.namespace;
            format!("request {} written; sallyportctl ca status {} --namespace {namespace}", request.id, wish.name)
        });
    };
    output::say(&format!("request {} written", request.id));
    let (generation, given_up) = follow(cluster, &written, Follow::new(&request.id, &authority), within).await?;
    output.answer(&json!({ "request": request, "generation": generation, "givenUp": given_up }), || {
        let report = match (given_up.is_empty(), wish.emergency) {
            (true, _) => "nobody was cut".to_owned(),
            (false, true) => format!("these were cut and come back by enrolling again:\n{}", text::given_up(&given_up)),
            (false, false) => format!("it went on without these, who enrol again:\n{}", text::given_up(&given_up)),
        };
        format!("generation {generation} signs, and the generations before it are removed; {report}")
    })
}

/// What will happen.
fn announcement(authority: &CertificateAuthority, wish: &Rotate) -> String {
    let name = format!("{}/{}", authority.namespace().unwrap_or_default(), authority.name_any());
    let status = authority.status.clone().unwrap_or_default();
    let rotation = &authority.spec.rotation;
    let under_way = status.rotation.as_ref().map(|rotation| rotation.to);
    if wish.emergency {
        let deadline = wish.drop_within.as_ref().map_or_else(|| "1h".to_owned(), ToString::to_string);
        let overtakes =
            under_way.map(|to| format!(" It overtakes the rotation to generation {to}.")).unwrap_or_default();
        return format!(
            "EMERGENCY rotation of {name}: a new generation is made and published at once, every certificate is renewed, \
             and {deadline} after its making all generations before it are dropped. Whoever has no new certificate by then \
             is cut and has to enrol again.{overtakes}"
        );
    }
    let begins =
        under_way.map_or_else(String::new, |to| format!(" It begins when the rotation to generation {to} is done."));
    format!(
        "rotation of {name}: a new generation is made and published; it signs after {} and when every live peer trusts it; \
         certificates are renewed within {}; the generation before it is dropped when nobody needs it. Peers that are away \
         for longer than {} are not waited for. No tunnel is closed.{begins}",
        rotation.publish_for, rotation.renew_within, rotation.overlap
    )
}

/// An emergency cuts whoever is late, so a slip of the keyboard must not start one.
fn confirm(wish: &Rotate) -> Result<(), Failure> {
    if !wish.emergency || wish.yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        let words = "an emergency asks first, and standard input is no terminal; add --yes if you mean it";
        return Err(Failure::Usage(words.to_owned()));
    }
    output::say(&format!("Type {} to go on:", wish.name));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|source| Failure::Local { what: "cannot read your answer".to_owned(), source })?;
    if answer.trim() == wish.name {
        return Ok(());
    }
    Err(Failure::Usage(format!("you did not type {}; nothing was changed", wish.name)))
}

/// Sorts by time, and two people at the same moment do not collide.
pub(crate) fn id(now: Timestamp) -> Result<String, Failure> {
    let mut random = [0; 5];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| no_randomness())?;
    let random = data_encoding::HEXLOWER.encode(&random);
    Ok(format!("{}-{random}", now.strftime("%Y%m%dT%H%M%SZ")))
}

/// The system gives no random bytes.
pub(crate) fn no_randomness() -> Failure {
    Failure::Local { what: "no random bytes".to_owned(), source: io::Error::other("the system gives none") }
}

fn spec(request: &RotateRequest) -> Value {
    json!({ "rotateRequest": request })
}

/// Until it is done: the generation that signs now, and whom the rotation gave up.
async fn follow(
    cluster: &Cluster,
    authority: &CertificateAuthority,
    follow: Follow,
    within: Duration,
) -> Result<(u32, Vec<GivenUp>), Refusal> {
    let (namespace, name) = (authority.namespace().unwrap_or_default(), authority.name_any());
    let awaited = Awaited { namespace: &namespace, name: &name, within };
    let follow = RefCell::new(follow);
    let see = |seen: &CertificateAuthority| match follow.borrow_mut().see(seen) {
        Turn::Done { generation } => {
            let given_up = seen.status.iter().flat_map(|status| &status.given_up);
            Ok(Some((generation, given_up.filter(|peer| peer.generation == generation).cloned().collect())))
        }
        Turn::Goes { line } => {
            if let Some(line) = line {
                output::say(&format!("{}  {line}", crate::words::time(Timestamp::now())));
            }
            Ok(None)
        }
        Turn::Overtaken { why } => {
            Err(Refusal::Overtaken { object: format!("the rotation of CertificateAuthority {namespace}/{name}"), why })
        }
    };
    wait::until(cluster, awaited, see, || follow.borrow().last().to_owned()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_that_the_field_takes_and_no_two_are_alike() {
        let now = "2026-03-01T10:20:30Z".parse().unwrap();
        let (one, two) = (id(now).unwrap(), id(now).unwrap());
        assert!(one.starts_with("20260301T102030Z-"), "{one}");
        assert_ne!(one, two);
        assert!(one.len() <= 64 && one.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{one}");
    }

    #[test]
    fn a_request_says_nothing_that_was_not_asked_for() {
        let request = RotateRequest { id: "a".into(), reason: "b".into(), emergency: false, drop_within: None };
        assert_eq!(spec(&request), json!({ "rotateRequest": { "id": "a", "reason": "b", "emergency": false } }));
    }
}
