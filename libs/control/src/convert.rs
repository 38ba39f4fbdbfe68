//! Messages from and to `sallyport-core`'s configuration, one function per direction and entry.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use sallyport_core::config::{Auditors, Change, Device, Endpoint, Entry, Key, Policy, Protocol, Service, Settings};
use sallyport_core::level::{AccessLevel, DeviceClass};
use sallyport_core::name::Name;

use crate::wire;

/// A message says something that a gateway must not act on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{object}: {field}: {why}")]
pub struct ConvertError {
    /// Which entry, as far as it has a name.
    pub object: String,
    /// Which field of it.
    pub field: &'static str,
    /// What is wrong with it.
    pub why: String,
}

/// The message for a change.
pub fn to_wire(change: &Change) -> wire::Change {
    use wire::change::Change as To;
    let change = match change {
        Change::Remove(Key::Device(id)) => To::RemoveDevice(id.to_string()),
        Change::Remove(Key::Endpoint(id)) => To::RemoveEndpoint(id.to_string()),
        Change::Remove(Key::Policy(id)) => To::RemovePolicy(id.to_string()),
        Change::Upsert(Entry::Settings(s)) => To::Settings(wire::Settings {
            gateways: s.gateways.iter().map(Name::to_string).collect(),
            outer_host: s.outer_host.clone(),
            inner_host: s.inner_host.clone(),
            engineer_authorities: s.engineer_authorities.clone(),
            idle_timeout_s: s.idle_timeout.as_secs(),
            max_session_s: s.max_session.as_secs(),
            drain_grace_s: s.drain_grace.as_secs(),
            offers_period: s.offers_period,
            auditors: auditors_to_wire(&s.auditors),
        }),
        Change::Upsert(Entry::Endpoint(id, e)) => To::Endpoint(wire::Endpoint {
            id: id.to_string(),
            site: e.site.to_string(),
            suspended: e.suspended,
            offer: e.offer.clone(),
        }),
        Change::Upsert(Entry::Device(id, d)) => To::Device(wire::Device {
            id: id.to_string(),
            site: d.site.to_string(),
            endpoint: d.endpoint.to_string(),
            customer: d.customer.clone(),
            product: d.product.clone(),
            class: d.class.label().to_owned(),
            level: d.level.label().to_owned(),
            address: d.address.to_string(),
            services: d.services.iter().map(service_to_wire).collect(),
            suspended: d.suspended,
        }),
        Change::Upsert(Entry::Policy(id, p)) => To::Policy(wire::Policy {
            id: id.to_string(),
            users: strings(&p.users),
            groups: p.groups.iter().cloned().collect(),
            devices: strings(&p.devices),
            services: strings(&p.services),
            max_session_s: p.max_session.as_secs(),
        }),
    };
    wire::Change { change: Some(change) }
}

/// Nobody is said by silence, so that a region without auditors has the digest that older gateways give it.
fn auditors_to_wire(auditors: &Auditors) -> Option<wire::Auditors> {
    let (users, groups) = (strings(&auditors.users), auditors.groups.iter().cloned().collect::<Vec<_>>());
    (!users.is_empty() || !groups.is_empty()).then_some(wire::Auditors { users, groups })
}

fn service_to_wire((name, service): (&Name, &Service)) -> wire::Service {
    wire::Service {
        name: name.to_string(),
        port: service.port.into(),
        protocol: service.protocol.label().to_owned(),
        examination_safe: service.examination_safe,
    }
}

fn strings<T: Display>(items: impl IntoIterator<Item = T>) -> Vec<String> {
    items.into_iter().map(|item| item.to_string()).collect()
}

/// The change that a message means.
pub fn from_wire(change: wire::Change) -> Result<Change, ConvertError> {
    use wire::change::Change as From;
    Ok(match change.change {
        None => return Err(In("change").error("change", "an unknown kind of entry; this gateway may be too old")),
        Some(From::RemoveDevice(id)) => Change::Remove(Key::Device(In("device").parse("id", &id)?)),
        Some(From::RemoveEndpoint(id)) => Change::Remove(Key::Endpoint(In("endpoint").parse("id", &id)?)),
        Some(From::RemovePolicy(id)) => Change::Remove(Key::Policy(In("policy").parse("id", &id)?)),
        Some(From::Settings(settings)) => Change::Upsert(Entry::Settings(settings_from_wire(settings)?)),
        Some(From::Endpoint(e)) => {
            let at = In(&e.id);
            let endpoint = Endpoint { site: at.parse("site", &e.site)?, suspended: e.suspended, offer: e.offer };
            Change::Upsert(Entry::Endpoint(at.parse("id", &e.id)?, endpoint))
        }
        Some(From::Device(device)) => device_from_wire(device)?,
        Some(From::Policy(policy)) => policy_from_wire(policy)?,
    })
}

fn settings_from_wire(s: wire::Settings) -> Result<Settings, ConvertError> {
    let at = In("settings");
    Ok(Settings {
        gateways: at.parse_all("gateways", &s.gateways)?,
        outer_host: s.outer_host,
        inner_host: s.inner_host,
        engineer_authorities: s.engineer_authorities,
        idle_timeout: at.seconds("idle_timeout_s", s.idle_timeout_s)?,
        max_session: at.seconds("max_session_s", s.max_session_s)?,
        drain_grace: Duration::from_secs(s.drain_grace_s),
        offers_period: s.offers_period,
        auditors: auditors_from_wire(at, s.auditors.unwrap_or_default())?,
    })
}

fn auditors_from_wire(at: In<'_>, auditors: wire::Auditors) -> Result<Auditors, ConvertError> {
    // A certificate may carry an empty organizational unit: it must make nobody an auditor.
    if let Some(wrong) = auditors.groups.iter().find(|g| !(1..=128).contains(&g.chars().count())) {
        return Err(at.error("auditors.groups", format!("{wrong:?} is no group: 1 to 128 characters")));
    }
    let users = at.parse_all("auditors.users", &auditors.users)?;
    Ok(Auditors { users, groups: auditors.groups.into_iter().collect() })
}

fn device_from_wire(d: wire::Device) -> Result<Change, ConvertError> {
    let at = In(&d.id);
    let class = match d.class.as_str() {
        "inVitro" => DeviceClass::InVitro,
        "inVivo" => DeviceClass::InVivo,
        "server" => DeviceClass::Server,
        other => return Err(at.error("class", format!("{other:?} is unknown"))),
    };
    let level = match d.level.as_str() {
        "none" => AccessLevel::None,
        "permanentLimited" => AccessLevel::PermanentLimited,
        "full" => AccessLevel::Full,
        other => return Err(at.error("level", format!("{other:?} is unknown"))),
    };
    let services = d.services.iter().map(|s| service_from_wire(at, s)).collect::<Result<_, _>>()?;
    let device = Device {
        site: at.parse("site", &d.site)?,
        endpoint: at.parse("endpoint", &d.endpoint)?,
        class,
        level,
        address: at.parse("address", &d.address)?,
        services,
        customer: d.customer,
        product: d.product,
        suspended: d.suspended,
    };
    Ok(Change::Upsert(Entry::Device(at_id(&d.id)?, device)))
}

fn at_id<T: FromStr<Err: Display>>(id: &str) -> Result<T, ConvertError> {
    In(id).parse("id", id)
}

fn service_from_wire(at: In<'_>, s: &wire::Service) -> Result<(Name, Service), ConvertError> {
    let protocol = match s.protocol.as_str() {
        "https" => Protocol::Https,
        "ssh" => Protocol::Ssh,
        "tcp" => Protocol::Tcp,
        "vnc" => Protocol::Vnc,
        other => return Err(at.error("services.protocol", format!("{other:?} is unknown"))),
    };
    let port = u16::try_from(s.port).ok().filter(|port| *port > 0);
    let port = port.ok_or_else(|| at.error("services.port", format!("{} is not a port", s.port)))?;
    Ok((at.parse("services.name", &s.name)?, Service { port, protocol, examination_safe: s.examination_safe }))
}

fn policy_from_wire(p: wire::Policy) -> Result<Change, ConvertError> {
    let at = In(&p.id);
    let policy = Policy {
        users: at.parse_all("users", &p.users)?,
        groups: p.groups.iter().cloned().collect(),
        devices: at.parse_all("devices", &p.devices)?,
        services: at.parse_all("services", &p.services)?,
        max_session: at.seconds("max_session_s", p.max_session_s)?,
    };
    Ok(Change::Upsert(Entry::Policy(at_id(&p.id)?, policy)))
}

/// The entry an error is about.
#[derive(Clone, Copy)]
struct In<'a>(&'a str);

impl In<'_> {
    fn error(self, field: &'static str, why: impl Into<String>) -> ConvertError {
        ConvertError { object: self.0.chars().take(130).collect(), field, why: why.into() }
    }

    fn parse<T: FromStr<Err: Display>>(self, field: &'static str, text: &str) -> Result<T, ConvertError> {
        text.parse().map_err(|error: T::Err| self.error(field, error.to_string()))
    }

    fn parse_all<T: FromStr<Err: Display>, C: FromIterator<T>>(
        self,
        field: &'static str,
        texts: &[String],
    ) -> Result<C, ConvertError> {
        texts.iter().map(|text| self.parse(field, text)).collect()
    }

    /// A limit of zero would mean "never" to one reader and "at once" to another; refuse it.
    fn seconds(self, field: &'static str, seconds: u64) -> Result<Duration, ConvertError> {
        if seconds == 0 { Err(self.error(field, "must not be 0")) } else { Ok(Duration::from_secs(seconds)) }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn device() -> wire::Device {
        wire::Device {
            id: "lyon/ct".into(),
            site: "lyon/hospital".into(),
            endpoint: "lyon/agent".into(),
            class: "inVivo".into(),
            level: "full".into(),
            address: "10.77.0.10".into(),
            services: vec![wire::Service {
                name: "ssh".into(),
                port: 22,
                protocol: "ssh".into(),
                examination_safe: true,
            }],
            suspended: true,
            ..Default::default()
        }
    }

    fn refused(device: wire::Device) -> ConvertError {
        from_wire(wire::Change { change: Some(wire::change::Change::Device(device)) }).unwrap_err()
    }

    #[test]
    fn every_entry_round_trips() {
        let changes = [
            from_wire(wire::Change { change: Some(wire::change::Change::Device(device())) }).unwrap(),
            Change::Upsert(Entry::Endpoint(
                "lyon/agent".parse().unwrap(),
                Endpoint { site: "lyon/hospital".parse().unwrap(), suspended: true, offer: vec![0, 255] },
            )),
            Change::Upsert(Entry::Policy(
                "dmz/ct".parse().unwrap(),
                Policy {
                    users: BTreeSet::from(["ada@vendor.example".parse().unwrap()]),
                    groups: BTreeSet::from(["CT service".to_owned()]),
                    devices: BTreeSet::from(["lyon/ct".parse().unwrap()]),
                    services: BTreeSet::from(["ssh".parse().unwrap()]),
                    max_session: Duration::from_secs(60),
                },
            )),
            Change::Upsert(Entry::Settings(Settings { outer_host: "outer.example".into(), ..Settings::default() })),
            Change::Upsert(Entry::Settings(Settings {
                auditors: Auditors {
                    users: BTreeSet::from(["ada@vendor.example".parse().unwrap()]),
                    groups: BTreeSet::from(["Audit".to_owned()]),
                },
                ..Settings::default()
            })),
            Change::Remove(Key::Device("lyon/ct".parse().unwrap())),
            Change::Remove(Key::Endpoint("lyon/agent".parse().unwrap())),
            Change::Remove(Key::Policy("dmz/ct".parse().unwrap())),
        ];
        for change in changes {
            assert_eq!(from_wire(to_wire(&change)).unwrap(), change);
        }
    }

    #[test]
    fn a_gateway_refuses_a_device_that_leads_elsewhere_and_names_the_field() {
        for address in ["127.0.0.1", "169.254.169.254", "localhost", "::1", ""] {
            let error = refused(wire::Device { address: address.into(), ..device() });
            assert_eq!((error.object.as_str(), error.field), ("lyon/ct", "address"));
        }
    }

    #[test]
    fn a_gateway_refuses_an_auditor_who_is_nobody_in_particular() {
        for (users, groups, field) in [(vec!["a b"], vec![], "auditors.users"), (vec![], vec![""], "auditors.groups")] {
            let auditors = wire::Auditors {
                users: users.into_iter().map(str::to_owned).collect(),
                groups: groups.into_iter().map(str::to_owned).collect(),
            };
            let settings =
                wire::Settings { idle_timeout_s: 1, max_session_s: 1, auditors: Some(auditors), ..Default::default() };
            let change = wire::Change { change: Some(wire::change::Change::Settings(settings)) };
            assert_eq!(from_wire(change).unwrap_err().field, field);
        }
    }

    #[test]
    fn unknown_words_and_ports_are_refused() {
        assert_eq!(refused(wire::Device { class: "x".into(), ..device() }).field, "class");
        assert_eq!(refused(wire::Device { level: "x".into(), ..device() }).field, "level");
        let mut wrong = device();
        wrong.services[0].port = 70_000;
        assert_eq!(refused(wrong).field, "services.port");
        let mut wrong = device();
        wrong.services[0].protocol = "gopher".into();
        assert_eq!(refused(wrong).field, "services.protocol");
        assert_eq!(from_wire(wire::Change { change: None }).unwrap_err().field, "change");
    }
}
