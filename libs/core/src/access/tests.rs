//! The composed list is tested, since order is behaviour: one test per variant, and properties of the whole.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::config::{Endpoint, Protocol, Settings};

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn engineer() -> Engineer {
    Engineer {
        user: "ada@vendor.example".parse().unwrap(),
        groups: BTreeSet::from(["ct-service".to_owned()]),
        not_after: "2026-11-24T20:00:00Z".parse().unwrap(),
    }
}

fn request(device: &str, service: &str) -> SessionRequest {
    SessionRequest {
        device: device.parse().unwrap(),
        service: service.parse().unwrap(),
        reason: "tube arcing".parse().unwrap(),
        incident: None,
    }
}

fn config() -> RegionConfig {
    let service = |port, examination_safe| Service { port, protocol: Protocol::Ssh, examination_safe };
    let device = |class, level| Device {
        suspended: false,
        site: "lyon/hospital".parse().unwrap(),
        endpoint: "lyon/agent".parse().unwrap(),
        customer: "Hospital".to_owned(),
        product: "CT".to_owned(),
        class,
        level,
        address: "10.77.0.10".parse().unwrap(),
        services: BTreeMap::from([
            ("calibrate".parse().unwrap(), service(23, false)),
            ("ssh".parse().unwrap(), service(22, true)),
        ]),
    };
    let policy = |devices: &[&str], services: &[&str], hours: u64| Policy {
        users: BTreeSet::new(),
        groups: BTreeSet::from(["ct-service".to_owned()]),
        devices: devices.iter().map(|d| d.parse().unwrap()).collect(),
        services: services.iter().map(|s| s.parse().unwrap()).collect(),
        max_session: Duration::from_secs(hours * 3600),
    };
    RegionConfig {
        settings: Settings::default(),
        endpoints: BTreeMap::from([(
            "lyon/agent".parse().unwrap(),
            Endpoint { site: "lyon/hospital".parse().unwrap(), suspended: false, offer: vec![] },
        )]),
        devices: BTreeMap::from([
            ("lyon/ct".parse().unwrap(), device(DeviceClass::InVivo, AccessLevel::PermanentLimited)),
            ("lyon/lab".parse().unwrap(), device(DeviceClass::InVitro, AccessLevel::Full)),
            ("lyon/mr".parse().unwrap(), device(DeviceClass::InVivo, AccessLevel::None)),
            ("lyon/pacs".parse().unwrap(), device(DeviceClass::Server, AccessLevel::Full)),
        ]),
        policies: BTreeMap::from([
            ("dmz/ct".parse().unwrap(), policy(&["lyon/ct", "lyon/lab", "lyon/mr"], &[], 2)),
            ("dmz/ct-long".parse().unwrap(), policy(&["lyon/ct"], &["ssh"], 9)),
        ]),
    }
}

fn denied(config: &RegionConfig, device: &str, service: &str) -> Denied {
    decide(config, &engineer(), &request(device, service), now()).unwrap_err()
}

#[test]
fn what_authorises_is_what_routes_and_the_region_caps_the_policy() {
    let authorised = decide(&config(), &engineer(), &request("lyon/ct", "ssh"), now()).unwrap();
    assert_eq!(authorised.endpoint().to_string(), "lyon/agent");
    assert_eq!(authorised.device().to_string(), "lyon/ct");
    assert_eq!(authorised.policy().to_string(), "dmz/ct-long");
    assert_eq!(authorised.max_session(), Duration::from_secs(4 * 3600));
}

#[test]
fn certificate_expired() {
    let late = "2026-11-24T20:00:00Z".parse().unwrap();
    let denied = decide(&config(), &engineer(), &request("lyon/ct", "ssh"), late).unwrap_err();
    assert_eq!(denied.label(), "certificateExpired");
}

#[test]
fn no_policy_for_engineer_comes_before_everything_about_devices() {
    let stranger = Engineer { groups: BTreeSet::new(), ..engineer() };
    for device in ["lyon/ct", "lyon/nowhere"] {
        let denied = decide(&config(), &stranger, &request(device, "ssh"), now()).unwrap_err();
        assert_eq!(denied.label(), "noPolicyForEngineer");
        assert!(denied.to_string().contains("no groups"), "{denied}");
    }
}

#[test]
fn unknown_device() {
    assert_eq!(denied(&config(), "lyon/nowhere", "ssh").label(), "unknownDevice");
}

#[test]
fn no_policy_for_device_names_user_groups_and_device() {
    let denied = denied(&config(), "lyon/pacs", "ssh");
    assert_eq!(
        denied.to_string(),
        "no AccessPolicy lets ada@vendor.example (ct-service) reach device lyon/pacs; \
         ask the platform team for one that covers it"
    );
}

#[test]
fn unknown_service_lists_the_declared_ones() {
    assert_eq!(
        denied(&config(), "lyon/ct", "telnet").to_string(),
        "device lyon/ct declares no service \"telnet\", only calibrate, ssh"
    );
}

#[test]
fn no_policy_for_service() {
    let mut config = config();
    config.policies.remove(&"dmz/ct".parse().unwrap());
    assert_eq!(denied(&config, "lyon/ct", "calibrate").label(), "noPolicyForService");
}

#[test]
fn site_suspended_or_its_endpoint_gone() {
    let mut config = config();
    config.endpoints.values_mut().for_each(|e| e.suspended = true);
    assert_eq!(denied(&config, "lyon/ct", "ssh").label(), "siteSuspended");
    config.endpoints.clear();
    assert_eq!(denied(&config, "lyon/ct", "ssh").label(), "siteSuspended");
}

#[test]
fn approval_required_by_class_and_level() {
    for (device, service) in [("lyon/lab", "ssh"), ("lyon/mr", "ssh"), ("lyon/ct", "calibrate")] {
        assert_eq!(denied(&config(), device, service).label(), "approvalRequired", "{device} {service}");
    }
}

#[test]
fn only_covered_devices_are_visible() {
    let config = config();
    let visible: Vec<_> = visible(&config, &engineer()).map(|(id, _)| id.to_string()).collect();
    assert_eq!(visible, ["lyon/ct", "lyon/lab", "lyon/mr"]);
}

proptest! {
    /// Taking anything away never allows what was refused.
    #[test]
    fn withdrawal_never_widens(
        device in prop_oneof![Just("lyon/ct"), Just("lyon/lab"), Just("lyon/mr"), Just("lyon/pacs"), Just("lyon/x")],
        service in prop_oneof![Just("ssh"), Just("calibrate"), Just("x")],
        take in 0usize..5,
    ) {
        let full = config();
        let mut less = full.clone();
        match take {
            0 => { less.policies.pop_first(); }
            1 => { less.policies.pop_last(); }
            2 => { less.devices.remove(&device.parse().unwrap()); }
            3 => { less.endpoints.clear(); }
            _ => less.devices.values_mut().for_each(|d| d.level = AccessLevel::None),
        }
        let before = decide(&full, &engineer(), &request(device, service), now());
        let after = decide(&less, &engineer(), &request(device, service), now());
        prop_assert!(before.is_ok() || after.is_err());
    }
}
