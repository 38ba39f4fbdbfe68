//! One example of every kind of event, and a keeper whose logs they could stand in.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use jiff::Timestamp;
use sallyport_audit::event::*;
use sallyport_audit::{Event, Groups, Incarnation, Keeper, Listed, Person, PublicKey, Scope, Subject};
use sallyport_core::level::AccessLevel;
use sallyport_core::name::{DeviceId, EndpointId, RegionId, SiteId};
use sallyport_core::session::EndReason;

pub fn keeper() -> Keeper {
    let incarnation = Incarnation::of(&PublicKey([7; 32]));
    let region = RegionId::parse("dmz", "frankfurt").unwrap();
    Keeper { region, gateway: "frankfurt-gateway-0".parse().unwrap(), incarnation }
}

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn site() -> SiteId {
    SiteId::parse("lyon", "hospital").unwrap()
}

pub fn device() -> DeviceId {
    DeviceId::parse("lyon", "ct-2").unwrap()
}

pub fn endpoint() -> EndpointId {
    EndpointId::parse("lyon", "agent").unwrap()
}

pub fn person(user: &str) -> Person {
    Person {
        user: user.parse().unwrap(),
        groups: Groups::clipped(&["ct-service".to_owned(), "emea".to_owned()]),
        reason: Some("Tube is noisy, see call".parse().unwrap()),
        from: Some("198.51.100.7:40312".parse().unwrap()),
    }
}

/// In the order of [`sallyport_audit::KINDS`].
pub fn examples() -> Vec<Event<Person>> {
    let ada = || person("ada@vendor.example");
    let nurse = || Person { groups: Groups::default(), reason: None, ..person("m.leroy@hospital.example") };
    let (session, transfer, approval) = (|| "0-5f2b".into(), || "t-81".into(), || "a-12".into());
    let incident = || Some("INC-4711".parse().unwrap());
    let from = || "203.0.113.9:51820".parse().unwrap();
    let subject = || Subject::of(&ada().user);
    let (until, first) = (at("2026-11-24T16:00:00Z"), at("2026-11-01T00:00:00Z"));
    let service = || "console".parse().unwrap();
    let hex = |byte: u8| format!("{byte:02x}").repeat(32).as_str().into();
    vec![
        Event::AdministratorActed(AdministratorActed {
            by: Some(ada()),
            site: Some(site()),
            act: Act::RetentionChanged { before_days: 2192, after_days: 3652, basis: "Contract 12, section 4".into() },
        }),
        Event::ApprovalAsked(ApprovalAsked {
            by: ada(),
            approval: approval(),
            site: site(),
            device: device(),
            purpose: Purpose::Session,
            subject: session(),
            until,
        }),
        Event::ApprovalGiven(ApprovalGiven {
            by: nurse(),
            approval: approval(),
            site: site(),
            device: device(),
            purpose: Purpose::Session,
            means: Means::Console,
        }),
        Event::ApprovalRefused(ApprovalRefused {
            by: nurse(),
            approval: approval(),
            site: site(),
            device: device(),
            purpose: Purpose::PatientData,
        }),
        Event::ApprovalTimedOut(ApprovalTimedOut {
            approval: approval(),
            site: site(),
            device: device(),
            purpose: Purpose::Transfer,
        }),
        Event::ApprovalWithdrawn(ApprovalWithdrawn {
            by: Some(nurse()),
            approval: approval(),
            site: site(),
            device: device(),
            purpose: Purpose::Session,
        }),
        Event::AuditDeleted(AuditDeleted {
            site: Some(site()),
            log: keeper().origin(Scope::Site(site())),
            first: 0,
            last: 255,
            basis: "six years".into(),
        }),
        Event::AuditErased(AuditErased { site: None, subject: subject(), basis: "GDPR Art. 17".into(), keys: 3 }),
        Event::AuditExported(AuditExported { by: Some(ada()), site: Some(site()), endpoint: None, first, last: until }),
        Event::AuditRead(AuditRead {
            by: None,
            site: Some(site()),
            endpoint: Some(endpoint()),
            first,
            last: until,
            engineer: Some(subject()),
            device: Some(device()),
            incident: Some("INC-4711".into()),
        }),
        Event::AuditRefused(AuditRefused {
            by: Some(ada()),
            site: Some(site()),
            endpoint: None,
            reason: ReadRefusal::NotAnAuditor,
        }),
        Event::CapacityAlarm(CapacityAlarm { used_percent: 80 }),
        Event::CertificateRevoked(CertificateRevoked {
            site: Some(site()),
            endpoint: endpoint(),
            serial: "0a0b".into(),
            issuer: hex(0x11),
        }),
        Event::ClockStepped(ClockStepped { by_ms: -3_600_000 }),
        Event::CloneSeen(CloneSeen { site: site(), endpoint: endpoint(), from: from(), other: from() }),
        Event::CodeRefused(CodeRefused { by: ada(), site: site(), device: device(), reason: CodeProblem::Expired }),
        Event::CodeShown(CodeShown { by: nurse(), site: site(), device: device(), until }),
        Event::CodeUsed(CodeUsed { by: ada(), approval: approval(), site: site(), device: device() }),
        Event::ConfigurationApplied(ConfigurationApplied {
            generation: 12,
            digest: hex(0x22),
            endpoints: 40,
            devices: 310,
            policies: 25,
        }),
        Event::DeviceResumed(DeviceResumed { site: site(), device: device(), generation: 13 }),
        Event::DeviceSuspended(DeviceSuspended { site: site(), device: device(), generation: 12 }),
        Event::Enrolled(Enrolled { site: Some(site()), endpoint: endpoint(), serial: "0a0b".into(), from: from() }),
        Event::EnrolmentRefused(EnrolmentRefused {
            site: None,
            endpoint: Some(endpoint()),
            from: from(),
            reason: "tokenUsed".into(),
        }),
        Event::GatewayStarted(GatewayStarted { version: "0.1.0".into() }),
        Event::GatewayStopped(GatewayStopped {}),
        Event::IncarnationBegan(IncarnationBegan {
            key: PublicKey([7; 32]),
            before: Some(PublicKey([6; 32])),
            why: NewIncarnation::Damaged,
        }),
        Event::LevelChanged(LevelChanged {
            by: Some(nurse()),
            site: site(),
            device: Some(device()),
            before: AccessLevel::None,
            after: AccessLevel::Full,
            until: Some(until),
        }),
        Event::LogDegraded(LogDegraded { health: Trouble::Full }),
        Event::LogRecovered(LogRecovered { health: Trouble::Stalled, for_ms: 6100 }),
        Event::LogSealed(LogSealed { why: "fdatasync: input/output error".into() }),
        Event::LogSetAside(LogSetAside { file: "damaged-00ff12ab-0.log".into(), line: 9, next_sequence: 8 }),
        Event::MailAccepted(MailAccepted {
            to: nurse(),
            mail: "m-1".into(),
            site: site(),
            device: device(),
            domain: "hospital.example".into(),
            bytes: 2048,
        }),
        Event::MailDelivered(MailDelivered {
            mail: "m-1".into(),
            site: site(),
            domain: "hospital.example".into(),
            tries: 2,
        }),
        Event::MailFailed(MailFailed {
            mail: "m-2".into(),
            site: site(),
            domain: "hospital.example".into(),
            tries: 9,
            code: Some(550),
        }),
        Event::MailRefused(MailRefused {
            to: Some(nurse()),
            site: site(),
            device: Some(device()),
            domain: Some("elsewhere.example".into()),
            reason: MailRefusal::RecipientNotAllowed,
        }),
        Event::Renewed(Renewed { site: Some(site()), endpoint: endpoint(), serial: "0a0c".into(), from: from() }),
        Event::SessionDenied(SessionDenied {
            by: ada(),
            site: Some(site()),
            device: device(),
            service: service(),
            incident: incident(),
            reason: Denial::NoPolicyForDevice,
        }),
        Event::SessionEnded(SessionEnded {
            session: session(),
            site: site(),
            device: device(),
            service: service(),
            reason: EndReason::Withdrawn,
            denial: Some(Denial::SiteSuspended),
            detail: None,
            bytes_in: 300_005,
            bytes_out: 512,
            verified: true,
        }),
        Event::SessionRequested(SessionRequested {
            by: ada(),
            session: session(),
            site: site(),
            device: device(),
            service: service(),
            incident: None,
        }),
        Event::SessionStarted(SessionStarted {
            by: ada(),
            session: session(),
            site: site(),
            device: device(),
            service: service(),
            endpoint: endpoint(),
            policy: "dmz/ct".parse().unwrap(),
            incident: incident(),
            approval: Some(approval()),
            max_seconds: 3600,
        }),
        Event::SessionUnanswered(SessionUnanswered {
            session: session(),
            site: site(),
            device: device(),
            service: service(),
            waited_seconds: 600,
        }),
        Event::SiteConfigured(SiteConfigured {
            site: site(),
            generation: 12,
            endpoints: Changed::default(),
            devices: Changed { added: Listed::from_iter([device()]), ..Changed::default() },
            policies: Changed { removed: Listed::from_iter(["dmz/ct".parse().unwrap()]), ..Changed::default() },
        }),
        Event::SiteResumed(SiteResumed { site: site(), endpoint: endpoint(), generation: 13 }),
        Event::SiteSuspended(SiteSuspended { site: site(), endpoint: endpoint(), generation: 12 }),
        Event::TransferEnded(TransferEnded {
            transfer: transfer(),
            site: site(),
            device: device(),
            direction: Direction::FromDevice,
            class: DataClass::Status,
            outcome: Outcome::Completed,
            bytes: 9_000_000,
            sha256: Some(sallyport_audit::Digest([0x33; 32])),
        }),
        Event::TransferRefused(TransferRefused {
            by: ada(),
            site: site(),
            device: device(),
            direction: Direction::FromDevice,
            class: DataClass::PatientData,
            reason: TransferRefusal::ConsentMissing,
        }),
        Event::TransferStarted(TransferStarted {
            by: ada(),
            transfer: transfer(),
            session: Some(session()),
            site: site(),
            device: device(),
            direction: Direction::FromDevice,
            class: DataClass::Status,
            incident: incident(),
            approval: None,
        }),
        Event::TrustApplied(TrustApplied { digest: hex(0x44), sequence: 5, revoked: 2 }),
        Event::TunnelDown(TunnelDown {
            site: Some(site()),
            endpoint: endpoint(),
            from: from(),
            reason: "the agent closed it".into(),
        }),
        Event::TunnelRefused(TunnelRefused {
            site: None,
            endpoint: endpoint(),
            from: from(),
            reason: "unknownEndpoint".into(),
        }),
        Event::TunnelRenewed(TunnelRenewed {
            site: Some(site()),
            endpoint: endpoint(),
            serial: "0a0c".into(),
            issuer: hex(0x11),
        }),
        Event::TunnelUp(TunnelUp {
            site: Some(site()),
            endpoint: endpoint(),
            from: from(),
            agent_version: "0.1.0".into(),
        }),
    ]
}
