//! Commands that ask once and print the answer.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{Devices, Session, Sessions, Status, Whoami};
use crate::door::Door;
use crate::failure::Failure;
use crate::output::{Output, table};
use crate::words;

pub(crate) async fn devices(door: &mut Door, output: &Output) -> Result<(), Failure> {
    let answer = door.get("/v1/devices").await?;
    let Devices { mut devices } = read(door, &answer)?;
    devices.sort_by(|a, b| a.id.cmp(&b.id));
    output.answer(&answer, || {
        if devices.is_empty() {
            return "No policy lets you reach a device of this region; the platform team writes them.".to_owned();
        }
        let rows = devices.into_iter().map(|device| {
            let services: Vec<_> = device.services.into_iter().map(|service| service.name).collect();
            let connected = if device.connected { "yes" } else { "no" }.to_owned();
            vec![device.id, device.customer, device.product, device.class, device.level, connected, services.join(", ")]
        });
        let head = ["DEVICE", "CUSTOMER", "PRODUCT", "CLASS", "ACCESS", "CONNECTED", "SERVICES"];
        table(&head, &rows.collect::<Vec<_>>())
    })
}

pub(crate) async fn sessions(door: &mut Door, output: &Output) -> Result<(), Failure> {
    let answer = door.get("/v1/sessions").await?;
    let Sessions { sessions } = read(door, &answer)?;
    output.answer(&answer, || {
        if sessions.is_empty() {
            return "You have no sessions.".to_owned();
        }
        let rows = sessions.into_iter().map(|session| {
            let state = session.end_reason.clone().unwrap_or_else(|| session.state.clone());
            vec![
                session.id,
                session.device,
                session.service,
                state,
                words::time(session.opened_at),
                words::time(session.expires_at),
                session.streams.to_string(),
                words::size(session.bytes_out),
                words::size(session.bytes_in),
                session.reason,
            ]
        });
        let head =
            ["ID", "DEVICE", "SERVICE", "STATE", "OPENED", "EXPIRES", "STREAMS", "TO DEVICE", "FROM DEVICE", "REASON"];
        table(&head, &rows.collect::<Vec<_>>())
    })
}

pub(crate) async fn end(door: &mut Door, id: &str, output: &Output) -> Result<(), Failure> {
    let answer = door.end(id).await?;
    let session: Session = read(door, &answer)?;
    output.answer(&answer, || {
        format!("session {} ended {}", session.id, words::outcome(&session, jiff::Timestamp::now()))
    })
}

pub(crate) async fn status(door: &mut Door, output: &Output) -> Result<(), Failure> {
    let answer = door.get("/v1/status").await?;
    let status: Status = read(door, &answer)?;
    output.answer(&answer, || {
        let number = |number: Option<u64>| number.map_or("-".to_owned(), |number| number.to_string());
        let rows = status.gateways.into_iter().map(|gateway| {
            vec![
                gateway.name,
                if gateway.reachable { "yes" } else { "no" }.to_owned(),
                gateway.version.unwrap_or_else(|| "-".to_owned()),
                number(gateway.generation),
                number(gateway.tunnels),
                number(gateway.sessions),
            ]
        });
        let head = ["GATEWAY", "REACHABLE", "VERSION", "CONFIGURATION", "TUNNELS", "SESSIONS"];
        let rows = table(&head, &rows.collect::<Vec<_>>());
        format!("region {}, answered by {} (version {})\n\n{rows}", status.region, status.gateway, status.version)
    })
}

pub(crate) async fn whoami(door: &mut Door, output: &Output) -> Result<(), Failure> {
    let answer = door.get("/v1/whoami").await?;
    let me: Whoami = read(door, &answer)?;
    output.answer(&answer, || {
        let groups = if me.groups.is_empty() { "none".to_owned() } else { me.groups.join(", ") };
        format!(
            "user      {}\ngroups    {groups}\nvalid to  {}\nregion    {}\ngateway   {}\n",
            me.user,
            words::time(me.not_after),
            me.region,
            me.gateway
        )
    })
}

/// The answer as its type.
pub(crate) fn read<T: DeserializeOwned>(door: &Door, answer: &Value) -> Result<T, Failure> {
    T::deserialize(answer).map_err(|error| door.unexpected(format!("something else ({error})")))
}
