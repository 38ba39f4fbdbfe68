//! From a target's name to a connection: the offer says where, the allow-list whether, and what a name resolves to is
//! checked before it is used. The address checked is the address connected to: there is no second resolution.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sallyport_core::address::{TargetAddress, refusal};
use sallyport_core::offer::Offer;
use sallyport_tunnel::{Refusal, RefusalReason, StreamTarget};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::allow::Allow;
use crate::surroundings::Surroundings;

/// For the name and for the connection, together below the tunnel's 8 s. A device on the same site answers in
/// milliseconds; one that needs longer is off.
const RESOLVE: Duration = Duration::from_secs(3);
const CONNECT: Duration = Duration::from_secs(5);

/// A name with more addresses is no device.
const MAX_ADDRESSES: usize = 8;

/// Connects to a declared service, or says why not.
pub async fn connect(
    offer: Option<&Offer>,
    allow: &Allow,
    surroundings: &Surroundings,
    target: &StreamTarget,
) -> Result<TcpStream, Refusal> {
    let (address, port) = declared(offer, target)?;
    let (name, found) = match address {
        TargetAddress::Ip(ip) => (None, vec![*ip]),
        TargetAddress::Name(name) => (Some(name.as_str()), resolve(name, surroundings).await?),
    };
    dial(&usable(allow, name, &found, port)?).await
}

/// Where the offer says the service is.
fn declared<'o>(offer: Option<&'o Offer>, target: &StreamTarget) -> Result<(&'o TargetAddress, u16), Refusal> {
    let offer = offer.ok_or_else(|| Refusal::new(RefusalReason::NoOffer, "this agent has no valid offer"))?;
    if let Some(found) = offer.target(&target.device, &target.service) {
        return Ok(found);
    }
    Err(match offer.devices.iter().any(|device| device.id == target.device) {
        true => Refusal::new(RefusalReason::UnknownService, format!("{} offers no {}", target.device, target.service)),
        false => Refusal::new(RefusalReason::UnknownDevice, format!("{} is not offered by this agent", target.device)),
    })
}

async fn resolve(name: &str, surroundings: &Surroundings) -> Result<Vec<IpAddr>, Refusal> {
    let why = match timeout(RESOLVE, surroundings.resolve(name)).await {
        Ok(Ok(found)) if !found.is_empty() => return Ok(found.into_iter().take(MAX_ADDRESSES).collect()),
        Ok(Ok(_)) => "it has no address".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => format!("no answer within {RESOLVE:?}"),
    };
    Err(Refusal::new(RefusalReason::NameNotResolved, format!("{name}: {why}")))
}

/// The addresses that may be connected to. If none may, the refusal is that of the first.
fn usable(allow: &Allow, name: Option<&str>, found: &[IpAddr], port: u16) -> Result<Vec<SocketAddr>, Refusal> {
    let mut first = None;
    let mut usable = Vec::new();
    for ip in found.iter().map(IpAddr::to_canonical) {
        match judge(allow, name, ip, port) {
            Ok(()) => usable.push(SocketAddr::from((ip, port))),
            Err(refusal) => drop(first.get_or_insert(refusal)),
        }
    }
    match first {
        Some(refusal) if usable.is_empty() => Err(refusal),
        _ => Ok(usable),
    }
}

fn judge(allow: &Allow, name: Option<&str>, ip: IpAddr, port: u16) -> Result<(), Refusal> {
    if let Some(why) = refusal(ip).filter(|_| !allow.names_literally(ip, port)) {
        let what = name.map_or_else(|| ip.to_string(), |name| format!("{name} is {ip},"));
        return Err(Refusal::new(RefusalReason::RefusedAddress, format!("{what} {why}")));
    }
    if !allow.permits(name, ip, port) {
        let what = name.map_or_else(|| ip.to_string(), |name| format!("{name} ({ip})"));
        return Err(Refusal::new(
            RefusalReason::NotAllowedLocally,
            format!("{what} port {port} is not on the site's allow-list"),
        ));
    }
    Ok(())
}

async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, Refusal> {
    let mut last = "no address".to_owned();
    let each = async {
        for address in addresses {
            match TcpStream::connect(address).await {
                Ok(stream) => return Some(stream),
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        None
    };
    match timeout(CONNECT, each).await {
        Ok(Some(stream)) => {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "socket option not set");
            }
            Ok(stream)
        }
        Ok(None) => Err(Refusal::new(RefusalReason::Unreachable, last)),
        Err(_elapsed) => Err(Refusal::new(RefusalReason::Unreachable, format!("no answer within {CONNECT:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use sallyport_core::name::DeviceId;
    use sallyport_core::offer::{OfferedDevice, OfferedService};
    use tokio::net::TcpListener;

    use super::*;

    fn offer(address: &str, port: u16) -> Offer {
        Offer {
            endpoint: "lyon/ct-room-2".parse().unwrap(),
            issued_at_ms: 1,
            devices: vec![OfferedDevice {
                id: DeviceId::parse("lyon", "ct-1").unwrap(),
                address: address.parse().unwrap(),
                services: vec![OfferedService { name: "ssh".parse().unwrap(), port }],
            }],
        }
    }

    fn target(device: &str, service: &str) -> StreamTarget {
        StreamTarget { device: device.parse().unwrap(), service: service.parse().unwrap(), session: "s".to_owned() }
    }

    fn surroundings(addresses: &'static [&'static str]) -> Surroundings {
        Surroundings::new(jiff::Timestamp::now, move |_| {
            Box::pin(async move { Ok(addresses.iter().map(|a| a.parse().unwrap()).collect()) })
        })
    }

    async fn why(
        offer: Option<&Offer>,
        allow: &str,
        found: &'static [&'static str],
        to: StreamTarget,
    ) -> RefusalReason {
        let allow = if allow.is_empty() { Allow::AllOffered } else { Allow::parse(allow).unwrap() };
        connect(offer, &allow, &surroundings(found), &to).await.unwrap_err().reason
    }

    #[tokio::test]
    async fn what_is_not_offered_is_refused() {
        let ct = offer("ct.example", 22);
        assert_eq!(why(None, "", &[], target("lyon/ct-1", "ssh")).await, RefusalReason::NoOffer);
        assert_eq!(why(Some(&ct), "", &[], target("lyon/ct-2", "ssh")).await, RefusalReason::UnknownDevice);
        assert_eq!(why(Some(&ct), "", &[], target("lyon/ct-1", "vnc")).await, RefusalReason::UnknownService);
        assert_eq!(why(Some(&ct), "", &[], target("lyon/ct-1", "ssh")).await, RefusalReason::NameNotResolved);
    }

    #[tokio::test]
    async fn a_name_cannot_lead_to_the_agent_itself_or_a_metadata_service() {
        let ct = offer("ct.example", 22);
        for found in
            [&["127.0.0.1"], &["::1"], &["::ffff:127.0.0.1"], &["169.254.169.254"], &["0.0.0.0"], &["224.0.0.1"]]
        {
            assert_eq!(why(Some(&ct), "", found, target("lyon/ct-1", "ssh")).await, RefusalReason::RefusedAddress);
            // A network or the name on the list does not lift the ban.
            let list = "allow: [{host: 0.0.0.0/0, ports: [22]}, {host: ct.example, ports: [22]}]";
            assert_eq!(why(Some(&ct), list, found, target("lyon/ct-1", "ssh")).await, RefusalReason::RefusedAddress);
        }
    }

    #[tokio::test]
    async fn the_list_narrows_and_an_unreadable_one_refuses_all() {
        let ct = offer("10.77.0.9", 22);
        let list = "allow: [{host: 10.77.0.0/24, ports: [23]}]";
        assert_eq!(why(Some(&ct), list, &[], target("lyon/ct-1", "ssh")).await, RefusalReason::NotAllowedLocally);
        let nothing = connect(Some(&ct), &Allow::Nothing, &surroundings(&[]), &target("lyon/ct-1", "ssh")).await;
        assert_eq!(nothing.unwrap_err().reason, RefusalReason::NotAllowedLocally);
    }

    #[tokio::test]
    async fn the_exact_address_on_the_list_is_reached_and_bad_ones_beside_it_are_not_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let allow = Allow::parse(&format!("allow: [{{host: 127.0.0.1, ports: [{port}]}}]")).unwrap();
        let ct = offer("ct.example", port);
        let to = target("lyon/ct-1", "ssh");
        let found = surroundings(&["169.254.169.254", "127.0.0.2", "127.0.0.1"]);
        let stream = connect(Some(&ct), &allow, &found, &to).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        drop((stream, listener));
        let refused = connect(Some(&ct), &allow, &found, &to).await.unwrap_err();
        assert_eq!(refused.reason, RefusalReason::Unreachable);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_resolver_has_a_deadline() {
        let silent = Surroundings::new(jiff::Timestamp::now, |_| Box::pin(std::future::pending()));
        let (ct, to) = (offer("ct.example", 22), target("lyon/ct-1", "ssh"));
        let refused = connect(Some(&ct), &Allow::AllOffered, &silent, &to);
        assert_eq!(refused.await.unwrap_err().reason, RefusalReason::NameNotResolved);
    }
}
